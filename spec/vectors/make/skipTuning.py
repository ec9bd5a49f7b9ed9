"""Vectors for skipTuning: torch.cat and multiplication by PyTorch, gradients by its autograd, in f64 and rounded once."""
import torch
from lib import case, write

torch.manual_seed(3)
notes = {
    "Identity": "rho = 1 changes no bit",
    "OnlySkip": "the backbone is not scaled",
    "Axis": "concatenation along another axis than the channels",
    "Residual": "the additive form",
    "Zero": "rho = 0 drops the skip",
}
cases = []
for flag, rho, mode, axis, su, sd in (
    ("Identity", 1.0, "concat", 1, (2, 3, 4), (2, 2, 4)),
    ("OnlySkip", 0.5, "concat", 1, (2, 3, 4), (2, 2, 4)),
    ("Axis", 1.25, "concat", -1, (2, 3), (2, 5)),
    ("Axis", -0.75, "concat", 0, (1, 3), (2, 3)),
    ("Residual", 0.9, "add", 1, (3, 4), (3, 4)),
    ("Zero", 0.0, "concat", 1, (2, 2), (2, 1)),
):
    rho32 = torch.tensor(rho).double()
    u, d = torch.randn(su), torch.randn(sd)
    lu, ld = (t.double().requires_grad_(True) for t in (u, d))
    y = lu + rho32 * ld if mode == "add" else torch.cat([lu, rho32 * ld], axis)
    dy = torch.randn(y.shape)
    du, dd = torch.autograd.grad(y, (lu, ld), dy.double())
    options = {"rho": rho, "mode": mode, "axis": axis}
    cases.append(case("skipTuning", f"{mode} {rho}", [flag], {"u": u, "d": d}, {"y": y.float()}, options))
    cases.append(case("skipTuningBackward", f"{mode} {rho}, gradient", [flag], {"dy": dy, "u": u, "d": d}, {"du": du.float(), "dd": dd.float()}, options))
write("skipTuning", notes, cases)
