"""Vectors for gatherRows, made by PyTorch: index_select and index_add."""
import torch
from lib import case, named, write

torch.manual_seed(5)
notes = {"Repeat": "a row named many times: its gradients add up", "None": "-1: a row of zeros, and no gradient", "Bits": "NaN, zeros and subnormals are copied as they are", "Axes": "all axes of the table but the last count its rows", "Shape": "ids of any shape, also none"}
cases = []

def add(name, flags, table, ids):
    width = table.shape[-1]
    flat = ids.reshape(-1).long()
    rows = table.reshape(-1, width).index_select(0, flat.clamp(min=0))
    y = torch.where((flat >= 0)[:, None], rows, torch.zeros(())).reshape(*ids.shape, width)
    given = {"table": table, "ids": named(ids.int(), "i32")}
    cases.append(case("gatherRows", name, flags, given, {"y": y}))
    dy = (torch.arange(y.numel()).reshape(y.shape) % 11 - 4).float()
    sums = torch.zeros(table.numel() // width, width).double()
    sums.index_add_(0, flat[flat >= 0], dy.reshape(-1, width)[flat >= 0].double())
    cases.append(case("gatherRowsBackward", name + ", gradient", flags, {"dy": dy, **given}, {"dTable": sums.reshape(table.shape).float()}))

add("two rows of ids, repeats", ["Repeat"], torch.randn(6, 3), torch.tensor([[0, 5, 0], [2, 0, 5]]))
add("some are none", ["None", "Repeat"], torch.randn(4, 5), torch.tensor([3, -1, 1, -1, 1, 0]))
add("one id for all", ["Repeat"], torch.randn(3, 2), torch.full((40,), 2))
add("features of a batch", ["Axes", "None"], torch.randn(2, 3, 4), torch.tensor([[5, 0], [-1, 3]]))
special = torch.tensor([[float("nan"), -0.0, 0.0], [2.0**-149, -float("inf"), 3.4e38]])
cases.append(case("gatherRows", "special values", ["Bits"], {"table": special, "ids": named(torch.tensor([1, 0, 1]).int(), "i32")}, {"y": special[[1, 0, 1]]}))
add("a scalar id", ["Shape"], torch.randn(3, 4), torch.tensor(2))
add("no ids", ["Shape"], torch.randn(3, 4), torch.zeros(0, 2, dtype=torch.long))
write("gatherRows", notes, cases)
