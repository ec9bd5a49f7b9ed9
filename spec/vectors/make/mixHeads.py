"""Vectors for mixHeads, made by PyTorch in f64 and rounded once."""
import torch
from lib import case, write

torch.manual_seed(8)
notes = {"Plain": "ordinary numbers", "Heads": "one head, as many heads as channels, an odd number"}
cases = []
for name, flag, shape, heads in (
    ("two heads", "Plain", (2, 3, 8), 2), ("eight heads", "Plain", (5, 16), 8), ("one head", "Heads", (3, 4), 1),
    ("three heads", "Heads", (2, 4, 9), 3), ("one channel each", "Heads", (7, 4), 4),
):
    x, dy, weight = torch.randn(shape), torch.randn(shape), torch.randn(heads, heads)
    lx, lw = x.double().requires_grad_(True), weight.double().requires_grad_(True)
    y = torch.einsum("hg,...gc->...hc", lw, lx.unflatten(-1, (heads, -1))).flatten(-2)
    dx, dw = torch.autograd.grad(y, (lx, lw), dy.double())
    given = {"x": x, "weight": weight}
    cases.append(case("mixHeads", name, [flag], given, {"y": y.float()}))
    cases.append(case("mixHeadsBackward", name + ", gradient", [flag], {"dy": dy, **given}, {"dx": dx.float(), "dWeight": dw.float()}))
write("mixHeads", notes, cases)
