"""Vectors for poolQuery, made by weights in PyTorch: each query is a row of weights times the features, in f64, and its autograd."""
import torch
from lib import case, named, write

torch.manual_seed(10)
notes = {"Mean": "of all positions up to the asked one", "Last": "the one before it, or itself", "Cls": "the first of the row", "Own": "the position itself", "Mask": "padding stands for nothing", "None": "-1, or nothing but padding: zeros"}
cases = []

def add(name, flags, pooling, x, positions, mask=None):
    rows, length = x.shape[0], x.shape[1]
    weights = torch.zeros(rows, positions.shape[1], length).double()
    for r in range(rows):
        ok = [t for t in range(length) if mask is None or mask[r, t]]
        for q, p in enumerate(positions[r].tolist()):
            upto = [t for t in ok if t <= p]
            before = [t for t in upto if t < p]
            chosen = {"mean": upto, "cls": upto[:1], "own": [t for t in upto if t == p], "last": before[-1:] or upto}[pooling]
            for t in chosen: weights[r, q, t] = 1 / len(chosen)
    tx = x.double().requires_grad_(True)
    y = weights @ tx
    given = {"x": x, "positions": named(positions.int(), "i32")}
    if mask is not None: given["mask"] = named(mask.int(), "u32")
    cases.append(case("poolQuery", name, flags, given, {"queries": y.detach().float()}, {"pooling": pooling}))
    dy = (torch.arange(y.numel()).reshape(y.shape) % 9 - 3).float()
    cases.append(case("poolQueryBackward", name + ", gradient", flags, {"dQueries": dy, **given}, {"dx": torch.autograd.grad(y, tx, dy.double())[0].float()}, {"pooling": pooling}))

positions = torch.tensor([[0, 3, -1, 4], [2, 2, 1, 0]])
mask = torch.tensor([[0, 0, 1, 0, 1], [1, 0, 1, 1, 1]])
for pooling in ("mean", "last", "cls", "own"):
    add(pooling, [pooling.capitalize(), "None"], pooling, torch.randn(2, 5, 3), positions)
    add(f"{pooling}, padding", [pooling.capitalize(), "Mask", "None"], pooling, torch.randn(2, 5, 3), positions, mask)
write("poolQuery", notes, cases)
