"""Vectors for sparsemax, made in f64 by bisection on tau: the row of max(x - tau, 0) must add up to 1."""
import torch
from lib import case, write

torch.manual_seed(13)
notes = {"Plain": "random scores", "Dense": "scores so close that all take part", "Sparse": "one takes all", "Tied": "equal scores", "Masked": "-Infinity gives 0"}

def sparsemax(x):
    low, high = x.max(-1, keepdim=True).values - 1, x.max(-1, keepdim=True).values
    for _ in range(200):
        tau = (low + high) / 2
        much = (x - tau).clamp(min=0).sum(-1, keepdim=True) > 1
        low, high = torch.where(much, tau, low), torch.where(much, high, tau)
    return (x - (low + high) / 2).clamp(min=0)

cases = []
INF = float("inf")
for flag, x in (("Plain", torch.randn(4, 9)), ("Dense", torch.randn(3, 12) * 0.01), ("Sparse", torch.randn(3, 6) * 30),
                ("Tied", torch.tensor([[1.0, 1, 0, 1], [2, 2, 2, 2]])), ("Masked", torch.tensor([[-INF, 0.5, 0.25, -INF], [-INF, -INF, 3, -INF]]))):
    x64 = x.double()
    y = sparsemax(x64)
    dy = torch.randn(x.shape)
    support = (y > 1e-9).double()
    dx = support * (dy.double() - (support * dy.double()).sum(-1, keepdim=True) / support.sum(-1, keepdim=True))
    y = y * support
    cases.append(case("sparsemax", flag, [flag], {"x": x}, {"y": y.float()}))
    cases.append(case("sparsemaxBackward", flag + ", gradient", [flag], {"dy": dy, "y": y.float()}, {"dx": dx.float()}))
write("sparsemax", notes, cases)
