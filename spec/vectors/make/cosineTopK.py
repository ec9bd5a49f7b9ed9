"""Vectors for cosineTopK, made by PyTorch in f64."""
import torch
from lib import case, named, write

torch.manual_seed(23)
notes = {"Plain": "random rows", "All": "every row, in order", "Zero": "a row of zeros has cosine 0; ties by row"}
cases = []
for flag, q, table, k in (("Plain", torch.randn(3, 5), torch.randn(12, 5), 4), ("All", torch.randn(2, 3), torch.randn(5, 3), 5),
                          ("Zero", torch.tensor([[1.0, 0], [0, 0]]), torch.tensor([[0.0, 0], [3, 0], [-1, 0], [8, 0], [0, 2]]), 4)):
    unit = lambda t: t.double() / t.double().norm(dim=1, keepdim=True).clamp(min=1e-30)
    scores = unit(q) @ unit(table).T
    values, indices = torch.sort(scores, dim=1, descending=True, stable=True)
    cases.append(case("cosineTopK", flag, [flag], {"q": q, "table": table},
                      {"values": values[:, :k].float(), "indices": named(indices[:, :k].contiguous(), "i32")}, {"k": k}))
write("cosineTopK", notes, cases)
