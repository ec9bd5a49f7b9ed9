"""Vectors for layerNorm, made by PyTorch. Run with a Python that has torch; writes ../layerNorm.json."""
import json, pathlib, struct
import torch

def bits(t):
    return ["%08x" % struct.unpack("<I", struct.pack("<f", v))[0] for v in t.flatten().tolist()]

def named(t):
    return {"dtype": "f32", "shape": list(t.shape), "bits": bits(t)}

notes = {
    "Plain": "random rows",
    "Mean": "a mean far above the deviation: E[x^2] - E[x]^2 cancels to nothing here",
    "Constant": "constant rows have variance 0: y = beta, and rstd = 1 / sqrt(eps)",
    "Size": "one column, one row, rank 1 and 3",
    "Eps": "another eps, large against the variance",
    "Biased": "few columns: dividing by D - 1 would show",
}
cases = []

def add(name, flags, x, gamma, beta, eps=None):
    leaves = [t.clone().requires_grad_(True) for t in (x, gamma, beta)]
    y, mean, rstd = torch.native_layer_norm(leaves[0], [x.shape[-1]], leaves[1], leaves[2], 1e-5 if eps is None else eps)
    dy = (torch.arange(y.numel(), dtype=torch.float32).reshape(y.shape) * 5 % 7) - 2.5
    dx, dgamma, dbeta = torch.autograd.grad(y, leaves, dy)
    mean, rstd = mean.reshape(x.shape[:-1]), rstd.reshape(x.shape[:-1])
    options = {} if eps is None else {"eps": eps}
    cases.append({"name": name, "op": "layerNorm", "flags": flags, "options": options,
                  "inputs": {"x": named(x), "gamma": named(gamma), "beta": named(beta)},
                  "outputs": {"y": named(y), "mean": named(mean), "rstd": named(rstd)}})
    cases.append({"name": name + ", gradient", "op": "layerNormBackward", "flags": flags, "options": {},
                  "inputs": {"dy": named(dy), "x": named(x), "gamma": named(gamma), "mean": named(mean), "rstd": named(rstd)},
                  "outputs": {"dx": named(dx), "dGamma": named(dgamma), "dBeta": named(dbeta)}})

torch.manual_seed(3)
def some(d): return torch.randn(d), torch.randn(d)
add("random", ["Plain"], torch.randn(5, 7), *some(7))
add("rank 3", ["Plain", "Size"], torch.randn(2, 3, 8), *some(8))
add("rank 1", ["Size"], torch.randn(9), *some(9))
add("two columns", ["Biased", "Size"], torch.tensor([[1.0, 3.0], [-2.0, 2.0]]), torch.ones(2), torch.zeros(2))
add("one column", ["Constant", "Size"], torch.tensor([[1.0], [-3.0]]), torch.tensor([2.0]), torch.tensor([0.5]))
add("constant rows", ["Constant"], torch.tensor([[0.25] * 4, [-8.0] * 4, [0.0] * 4]), *some(4))
add("mean 10000, deviation 1", ["Mean"], torch.randn(3, 64) + 1e4, *some(64))
add("mean -3000, deviation 0.5", ["Mean"], torch.randn(2, 33) / 2 - 3000, *some(33))
add("eps 0.1", ["Eps"], torch.randn(4, 16) / 8, *some(16), eps=0.1)
add("a row of 513", ["Plain"], torch.randn(2, 513), *some(513))
out = {"op": "layerNorm", "source": f"torch {torch.__version__}, CPU, f32", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "layerNorm.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
