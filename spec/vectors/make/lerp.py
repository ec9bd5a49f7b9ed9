"""Vectors for lerp, made by PyTorch in f64 and rounded once."""
import torch
from lib import case, write

torch.manual_seed(2)
notes = {"Ends": "weights 0 and 1 give a and b", "Plain": "ordinary numbers", "Outside": "a weight outside of [0, 1]"}
cases = []
for flag, w in (("Ends", 0.0), ("Ends", 1.0), ("Plain", 0.5), ("Plain", 0.3), ("Outside", -1.25)):
    a, b, dy = torch.randn(2, 5), torch.randn(2, 5), torch.randn(2, 5)
    weight = torch.tensor([w])
    la, lb, lw = (t.double().requires_grad_(True) for t in (a, b, weight))
    y = (1 - lw) * la + lw * lb
    da, db, dw = torch.autograd.grad(y, (la, lb, lw), dy.double())
    given = {"a": a, "b": b, "weight": weight}
    cases.append(case("lerp", f"weight {w}", [flag], given, {"y": y.float()}))
    cases.append(case("lerpBackward", f"weight {w}, gradient", [flag], {"dy": dy, **given}, {"da": da.float(), "db": db.float(), "dWeight": dw.float()}))
write("lerp", notes, cases)
