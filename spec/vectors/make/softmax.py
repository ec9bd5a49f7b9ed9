"""Vectors for softmax, made by PyTorch. Run with a Python that has torch; writes ../softmax.json."""
import json, pathlib, struct
import torch

def bits(t):
    return ["%08x" % struct.unpack("<I", struct.pack("<f", v))[0] for v in t.flatten().tolist()]

def named(t):
    return {"dtype": "f32", "shape": list(t.shape), "bits": bits(t)}

NAN, INF, MAX = float("nan"), float("inf"), 3.4028234663852886e38
notes = {
    "Plain": "random logits",
    "Axis": "every axis of a tensor of rank 3, unequal sizes",
    "Masked": "-Infinity gives 0 and takes no part",
    "AllMasked": "torch gives NaN for a row that is masked throughout; here it is zeros",
    "Shift": "exp would overflow or vanish without the shift by the maximum",
    "Extreme": "differences that overflow f32 themselves",
    "NotANumber": "NaN or +Infinity anywhere gives NaN in the whole row",
    "Size": "one element, and none",
}
cases = []

def add(name, flags, x, axis=-1, gradient=True):
    x = x.clone().requires_grad_(True)
    y = torch.softmax(x, axis)
    want = torch.nan_to_num(y) if "AllMasked" in flags else y
    cases.append({"name": name, "op": "softmax", "flags": flags, "options": {"axis": axis},
                  "inputs": {"x": named(x)}, "outputs": {"y": named(want)}})
    if gradient:
        dy = (torch.arange(y.numel(), dtype=torch.float32).reshape(y.shape) * 5 % 7) - 2.5
        dx = torch.autograd.grad(y, x, dy)[0]
        cases.append({"name": name + ", gradient", "op": "softmaxBackward", "flags": flags, "options": {"axis": axis},
                      "inputs": {"dy": named(dy), "y": named(y)}, "outputs": {"dx": named(dx)}})

torch.manual_seed(9)
add("random", ["Plain"], torch.randn(4, 7))
for axis in (0, 1, 2, -2):
    add(f"rank 3, axis {axis}", ["Axis"], torch.randn(3, 5, 4) * 3, axis)
add("a row of 300", ["Plain"], torch.randn(2, 300) * 4)
add("one element", ["Size"], torch.tensor([[3.0], [-80.0]]))
add("no element", ["Size"], torch.zeros(2, 0), gradient=False)
add("masked in part", ["Masked"], torch.tensor([[-INF, 1, -INF, 2], [-INF, -INF, -INF, -7]]))
add("masked throughout", ["Masked", "AllMasked"], torch.full((2, 3), -INF), gradient=False)
add("large logits", ["Shift"], torch.tensor([[1000.0, 999, 990], [-1000, -1001, -1500], [88, 0, -88]]))
add("extremes", ["Extreme"], torch.tensor([[MAX, -MAX, 0], [-MAX, -MAX, -MAX], [MAX, MAX, 1]]))
add("NaN and infinity", ["NotANumber"], torch.tensor([[NAN, 0, 1], [INF, 0, 1], [NAN, -INF, INF]]), gradient=False)
out = {"op": "softmax", "source": f"torch {torch.__version__}, CPU, f32", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "softmax.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
