"""Vectors for gradientClip, made by torch.nn.utils.clip_grad_norm_. Run with a Python that has torch; writes ../gradientClip.json."""
import json, pathlib, struct
import torch

NAN, INF, MAX = float("nan"), float("inf"), 3.4028234663852886e38

def named(t):
    dtype = {torch.float32: "f32", torch.float64: "f64"}[t.dtype]
    code, word, form = {"f32": ("<f", "<I", "%08x"), "f64": ("<d", "<Q", "%016x")}[dtype]
    bits = [form % struct.unpack(word, struct.pack(code, v))[0] for v in t.flatten().tolist()]
    return {"dtype": dtype, "shape": list(t.shape), "bits": bits}

notes = {
    "Global": "one norm over all tensors; a norm for each of them gives other factors",
    "Small": "a norm below maxNorm leaves the gradients as they are, bit for bit; never scale up",
    "Epsilon": "1e-6 is added to the norm, so that a norm of zero gives no NaN",
    "Nan": "a NaN makes everything NaN",
    "Infinity": "an infinite gradient makes the factor 0; 0 times infinity is NaN",
    "Zero": "maxNorm 0 removes all",
    "Wide": "f64 in, f64 out",
}
cases = []
def add(name, flags, tensors, max_norm, dtype=torch.float32):
    tensors = [t.to(dtype) for t in tensors]
    params = [torch.nn.Parameter(torch.zeros_like(t)) for t in tensors]
    for p, t in zip(params, tensors):
        p.grad = t.clone()
    norm = torch.nn.utils.clip_grad_norm_(params, max_norm, foreach=False)
    tolerance = {"tolerance": {"absolute": 1e-13, "why": "f64 on both sides"}} if dtype == torch.float64 else {}
    inputs = {f"grads.{i}": named(t) for i, t in enumerate(tensors)}
    cases.append({"name": name, "op": "gradientClip", "flags": flags, "options": {"maxNorm": max_norm}, "inputs": inputs,
                  "outputs": {**{f"clipped.{i}": named(p.grad) for i, p in enumerate(params)}, "norm": named(norm.to(dtype))},
                  **tolerance})
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0).to(dtype)
    cases.append({"name": name + ", the factor", "op": "gradientClipFactor", "flags": flags, "options": {"maxNorm": max_norm},
                  "inputs": inputs, "outputs": {"factor": named(factor), "norm": named(norm.to(dtype))}, **tolerance})

torch.manual_seed(1)
r = lambda *shape: torch.randn(*shape)
add("three tensors", ["Global"], [r(3, 4), r(7), r(())], 1.0)
add("unequal tensors", ["Global"], [r(5) * 1000, r(5) * 0.001], 0.5)
add("below the limit", ["Small"], [r(4), r(2, 2)], 100.0)
add("at the limit", ["Small", "Epsilon"], [torch.tensor([3.0, 4.0])], 5.0)
add("zeros", ["Epsilon"], [torch.zeros(3), torch.zeros(())], 1.0)
add("tiny", ["Epsilon"], [torch.tensor([1e-7, -2e-7])], 1e-9)
add("NaN", ["Nan"], [torch.tensor([1.0, NAN, -2.0]), r(3)], 1.0)
add("infinity", ["Infinity"], [torch.tensor([1.0, INF, -2.0]), r(3)], 1.0)
add("both", ["Nan", "Infinity"], [torch.tensor([-INF, NAN]), r(3)], 1.0)
add("limit zero", ["Zero"], [r(4)], 0.0)
add("an empty tensor", ["Global"], [r(4), torch.zeros(0)], 0.1)
add("double precision", ["Wide"], [r(6).double() * 1e-3, r(2, 3).double()], 0.3, dtype=torch.float64)
out = {"op": "gradientClip", "source": f"torch {torch.__version__}, torch.nn.utils.clip_grad_norm_, CPU", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "gradientClip.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
