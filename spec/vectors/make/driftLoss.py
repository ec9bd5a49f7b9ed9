"""Vectors for driftLoss, made by PyTorch in f64 and rounded once."""
import torch
from lib import case, named, write

torch.manual_seed(19)
notes = {"Plain": "tokens of one piece and of several", "Extra": "a single piece that the source has no row for does not count", "None": "no token counts"}
cases = []
for flag, forms in (("Plain", [[0, -1, -1], [1, 2, -1], [3, -1, -1], [2, -1, -1]]), ("Extra", [[4, -1], [1, -1], [5, -1]]), ("None", [[0, 1], [2, 3]])):
    forms = torch.tensor(forms, dtype=torch.int32)
    x, table, dLoss = torch.randn(len(forms), 5), torch.randn(4, 5), torch.randn(())
    counted = (forms[:, 0] < 4) & (forms[:, 1:] == -1).all(1)
    x64 = x.double().requires_grad_(True)
    rows = table.double()[forms[:, 0].clamp(max=3).long()]
    count = counted.sum()
    norm = rows[counted].norm(dim=1).mean() if count else torch.tensor(0.0).double()
    loss = 0.5 * ((x64 - rows) ** 2).sum(1)[counted].sum() / count / norm if count else (x64 * 0).sum()
    (dx,) = torch.autograd.grad(loss, x64, dLoss.double())
    given = {"x": x, "table": table, "forms": named(forms, "i32")}
    more = {"count": named(count.int(), "i32"), "norm": norm.float()}
    cases.append(case("driftLoss", flag, [flag], given, {"loss": loss.float(), **more}, {"weight": 0.5}))
    cases.append(case("driftLossBackward", flag + ", gradient", [flag], {"dLoss": dLoss, **given, **more}, {"dx": dx.float()}, {"weight": 0.5}))
write("driftLoss", notes, cases)
