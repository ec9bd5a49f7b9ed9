"""Vectors for add, made by PyTorch."""
import torch
from lib import case, write

torch.manual_seed(1)
big = 3.4028234663852886e38
notes = {"Edge": "signed zeros, extremes and cancellation", "Plain": "ordinary numbers"}
cases = []
a, b = torch.randn(3, 4), torch.randn(3, 4)
cases.append(case("add", "ordinary numbers", ["Plain"], {"a": a, "b": b}, {"y": a + b}))
a = torch.tensor([0.0, -0.0, 1.0, big, 1e-40, 16777216.0, -1.5])
b = torch.tensor([-0.0, -0.0, -1.0, -big, 1e-40, 1.0, 1.5])
cases.append(case("add", "zeros, cancellation, a lost bit", ["Edge"], {"a": a, "b": b}, {"y": a + b}))
cases.append(case("add", "no elements", ["Edge"], {"a": torch.zeros(0), "b": torch.zeros(0)}, {"y": torch.zeros(0)}))
write("add", notes, cases)
