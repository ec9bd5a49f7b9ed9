"""Vectors for embedding, made by PyTorch."""
import torch
from torch.nn import functional as F
from lib import case, named, write

torch.manual_seed(3)
notes = {"Repeat": "an id named many times: its gradients add up", "Padding": "the padding row is read but learns nothing", "Bits": "NaN, zeros and subnormals are copied as they are", "Shape": "ids of any shape, also none"}
cases = []

def add(name, flags, table, ids, padding=None):
    y = F.embedding(ids, table, padding_idx=padding)
    options = {} if padding is None else {"paddingIndex": padding}
    given = {"table": table, "ids": named(ids.int(), "i32")}
    cases.append(case("embedding", name, flags, given, {"y": y}, options))
    t = table.double().requires_grad_(True)
    dy = (torch.arange(y.numel()).reshape(y.shape) % 11 - 4).float()
    out = F.embedding(ids, t, padding_idx=padding)
    grad = torch.autograd.grad(out, t, dy.double())[0].float() if out.numel() else torch.zeros_like(table)
    cases.append(case("embeddingBackward", name + ", gradient", flags, {"dy": dy, **given}, {"dTable": grad}, options))

add("a batch with repeats", ["Repeat"], torch.randn(6, 3), torch.tensor([[0, 5, 0], [2, 0, 5]]))
add("a padding row", ["Padding", "Repeat"], torch.randn(4, 5), torch.tensor([3, 1, 1, 3, 0, 1]), 1)
add("one id for all", ["Repeat"], torch.randn(3, 2), torch.full((40,), 2))
special = torch.tensor([[float("nan"), -0.0, 0.0], [2.0**-149, -float("inf"), 3.4e38]])
y = F.embedding(torch.tensor([1, 0, 1]), special)
cases.append(case("embedding", "special values", ["Bits"], {"table": special, "ids": named(torch.tensor([1, 0, 1]).int(), "i32")}, {"y": y}))
add("a scalar id", ["Shape"], torch.randn(3, 4), torch.tensor(2))
add("no ids", ["Shape"], torch.randn(3, 4), torch.zeros(0, 2, dtype=torch.long))
write("embedding", notes, cases)
