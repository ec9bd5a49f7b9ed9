"""Vectors for scoreInt8: int64 matrix products in PyTorch, scaled in f64 and rounded once."""
import torch
from lib import case, named, write

torch.manual_seed(8)
notes = {"Bytes": "bytes are signed, the lowest first", "Least": "-128 is a byte", "Tile": "rests of tiles", "Empty": "no rows, no queries or no words"}
cases = []

def packed(x):
    b = x.to(torch.int64) & 255
    b = b.reshape(x.shape[0], x.shape[1] // 4, 4)
    return named(b[..., 0] | b[..., 1] << 8 | b[..., 2] << 16 | b[..., 3] << 24, "u32")

def add(name, flags, queries, codes):
    qs, s = torch.rand(queries.shape[0]) + 0.5, torch.rand(codes.shape[0]) * 0.01
    scores = (queries.long() @ codes.long().T).double() * s.double() * qs.double()[:, None]
    cases.append(case("scoreInt8", name, flags, {"queries": packed(queries), "queryScales": named(qs), "codes": packed(codes), "scales": named(s)}, {"scores": named(scores.float())}))

bytes_ = lambda *shape: torch.randint(-128, 128, shape)
add("one word", ["Bytes"], torch.tensor([[1, -2, 3, -128]]), torch.tensor([[127, -128, 0, 1], [0, 0, 0, -128]]))
add("all at the least", ["Least"], torch.full((2, 1024), -128), torch.full((1, 1024), -128))
add("rests", ["Tile"], bytes_(5, 12), bytes_(67, 12))
add("no words", ["Empty"], torch.zeros(2, 0), torch.zeros(3, 0))
add("no rows", ["Empty"], bytes_(2, 4), torch.zeros(0, 4))
write("scoreInt8", notes, cases)
