"""Vectors for identityLoss, made by PyTorch in f64 and rounded once."""
import torch
from lib import case, write

torch.manual_seed(17)
notes = {"Plain": "random rows", "Equal": "rows that are there already: no loss", "Weight": "a factor of its own"}
cases = []
for flag, rows, width, weight in (("Plain", 3, 5, 1.0), ("Weight", 7, 2, 0.5), ("Equal", 2, 3, 1.0)):
    x, goal, dLoss = torch.randn(rows, width), torch.randn(rows, width), torch.randn(())
    if flag == "Equal":
        goal = x.clone()
    x64 = x.double().requires_grad_(True)
    loss = weight * ((x64 - goal.double()) ** 2).sum(1).mean()
    (dx,) = torch.autograd.grad(loss, x64, dLoss.double())
    cases.append(case("identityLoss", flag, [flag], {"x": x, "goal": goal}, {"loss": loss.float()}, {"weight": weight}))
    cases.append(case("identityLossBackward", flag + ", gradient", [flag], {"dLoss": dLoss, "x": x, "goal": goal}, {"dx": dx.float()}, {"weight": weight}))
write("identityLoss", notes, cases)
