"""Vectors for gelu, made by PyTorch in f64 and rounded once."""
import torch
from lib import case, write

torch.manual_seed(5)
notes = {"Plain": "ordinary arguments", "Tail": "far out, where the value is a small difference in the naive formula", "Zero": "zeros and subnormals"}
data = {
    "Plain": torch.randn(24) * 2,
    "Tail": torch.tensor([-4.0, -5.5, -8.0, -10.0, 4.0, 5.5, 8.0, 20.0, 100.0, 1e30]),
    "Zero": torch.tensor([0.0, 1e-30, -1e-30, 1e-10]),
}
cases = []
for form in ("exact", "tanh"):
    for flag, x in data.items():
        x64 = x.double().requires_grad_(True)
        if form == "exact":  # erfc does not cancel in the tail
            y = x64 * 0.5 * torch.erfc(-x64 / 2**0.5)
        else:
            y = x64 * torch.sigmoid(2 * (2 / torch.pi) ** 0.5 * (x64 + 0.044715 * x64**3))
        assert torch.allclose(y, torch.nn.functional.gelu(x64, approximate="none" if form == "exact" else "tanh"), atol=1e-12)
        dy = torch.randn(x.shape)
        (dx,) = torch.autograd.grad(y, x64, dy.double())
        dx = torch.where((x.abs() > 50), dy * (x > 0), dx.float())  # x^3 overflows the derivative of the formula far out
        cases.append(case("gelu", f"{form}, {flag}", [flag], {"x": x}, {"y": y.float()}, {"form": form}))
        cases.append(case("geluBackward", f"{form}, {flag}, gradient", [flag], {"dy": dy, "x": x}, {"dx": dx.float()}, {"form": form}))
write("gelu", notes, cases)
