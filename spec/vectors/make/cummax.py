"""Vectors for cummax, made by PyTorch. Run with a Python that has torch; writes ../cummax.json."""
import json, pathlib, struct
import torch

def bits(t, dtype):
    code = {"f32": "<f", "i32": "<i"}[dtype]
    return ["%08x" % struct.unpack("<I", struct.pack(code, v))[0] for v in t.flatten().tolist()]

def named(t, dtype):
    return {"dtype": dtype, "shape": list(t.shape), "bits": bits(t, dtype)}

NAN, INF, MAX, TINY = float("nan"), float("inf"), 3.4028234663852886e38, 2.0 ** -149
rows = [
    ("a tie keeps the latest index", ["Tie"], [1, 3, 3, 2, 3], 0),
    ("NaN stays, and later NaN take the index", ["Nan"], [1, NAN, 5, NAN, 2], 0),
    ("both zeros are equal; the later bits are kept", ["SignedZero", "Tie"], [0.0, -0.0, -1, 0.0, -0.0], 0),
    ("infinities", ["Infinity"], [-INF, -INF, -MAX, INF, INF, 0], 0),
    ("values below every sentinel", ["Sentinel"], [-MAX, -INF, -MAX, -3e38], 0),
    ("subnormals are not zero", ["Subnormal"], [-TINY, 0, TINY, -0.0, 2 * TINY, TINY], 0),
    ("falling, so that nothing changes", ["Carry"], list(range(70, 0, -1)), 0),
    ("rising past a tile of 64", ["Carry"], list(range(130)), 0),
    ("all equal over 300", ["Tie", "Carry"], [2.5] * 300, 0),
    ("one element", ["Size"], [-7.25], 0),
    ("no element", ["Size"], [], 0),
]
notes = {
    "Tie": "equal values: the latest index wins; a kernel that keeps the first one fails",
    "Nan": "NaN is larger than everything and sticky, and each later NaN takes the index over",
    "SignedZero": "-0 equals +0 in the comparison, and the stored bits follow the index",
    "Infinity": "a finite sentinel for minus infinity hides these",
    "Sentinel": "a start value such as -1e9 or 0 wins wrongly over these",
    "Subnormal": "flushing to zero makes these equal and moves the index",
    "Carry": "the running state crosses chunk and tile edges",
    "Size": "smallest sizes",
    "Axis": "every axis of a tensor of rank 3, unequal sizes",
}
cases = []
def add(name, flags, x, axis):
    x = x.clone().requires_grad_(True)
    v, i = torch.cummax(x, axis)
    dy = (torch.arange(x.numel(), dtype=torch.float32).reshape(x.shape) % 7) + 1
    dx = torch.autograd.grad(v, x, dy)[0] if x.numel() else torch.zeros_like(x)
    i = i.to(torch.int32)
    cases.append({"name": name, "op": "cummax", "flags": flags, "options": {"axis": axis},
                  "inputs": {"x": named(x.detach(), "f32")},
                  "outputs": {"values": named(v.detach(), "f32"), "indices": named(i, "i32")}})
    cases.append({"name": name + ", gradient", "op": "cummaxBackward", "flags": flags, "options": {"axis": axis},
                  "inputs": {"dValues": named(dy, "f32"), "indices": named(i, "i32")},
                  "outputs": {"dx": named(dx, "f32")}})
for name, flags, values, axis in rows:
    add(name, flags, torch.tensor(values, dtype=torch.float32), axis)
torch.manual_seed(5)
for axis in (0, 1, 2, -1):
    add(f"rank 3, axis {axis}", ["Axis", "Tie"], torch.randint(-3, 4, (3, 5, 4)).float(), axis)
out = {"op": "cummax", "source": f"torch {torch.__version__}, CPU, f32", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "cummax.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
