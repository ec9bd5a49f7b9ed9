"""Vectors for sampleLogits: bits by JAX, noise by mpmath with 60 digits, limits and log-probabilities by PyTorch. Writes
../sampleLogits.json."""
import json, pathlib, struct
import jax, mpmath, numpy as np, torch
import jax.random as jr

jax.config.update("jax_enable_x64", True)
assert jax.config.jax_threefry_partitionable
mpmath.mp.dps = 60
INF = float("inf")

def named(t, dtype):
    code = {"f32": "<f", "i32": "<i"}[dtype]
    return {"dtype": dtype, "shape": list(t.shape), "bits": ["%08x" % struct.unpack("<I", struct.pack(code, v))[0] for v in t.flatten().tolist()]}

def gumbel(key, n):
    wide = np.asarray(jr.bits(key, (n,), dtype=np.uint64))
    first = np.asarray(jr.bits(key, (n,), dtype=np.uint32))
    second = (wide & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    u = [(mpmath.mpf(a) * 2**32 + b + mpmath.mpf(1) / 2) / mpmath.mpf(2) ** 64 for a, b in zip(first.tolist(), second.tolist())]
    return torch.tensor([float(-mpmath.log(-mpmath.log(x))) for x in u], dtype=torch.float64)

notes = {
    "Plain": "the largest of logits + noise",
    "Temperature": "divides the logits, not the noise",
    "TopK": "only the k largest take part; equal logits: the lower index is larger",
    "TopP": "the smallest set whose sum reaches topP, at least one word; of what topK left",
    "Greedy": "temperature 0: the first of the largest logits",
    "Excluded": "-Infinity: never drawn, no probability",
    "LogProb": "of the plain softmax: no temperature, no limit",
}
cases = []
def add(name, flags, logits, seed, temperature=1.0, top_k=None, top_p=None):
    options = {"temperature": temperature}
    x = logits.double().reshape(-1, logits.shape[-1])
    if temperature != 0:
        key = jr.PRNGKey(seed)
        options["key"] = [int(w) for w in np.asarray(key)]
        noise = gumbel(key, x.numel()).reshape(x.shape)
        order = torch.sort(x, dim=-1, descending=True, stable=True).indices
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(x.shape[1]).expand_as(order).contiguous())
        keep = x > -INF
        if top_k is not None:
            options["topK"] = top_k
            keep &= rank < top_k
        if top_p is not None:
            options["topP"] = top_p
            p = torch.softmax((x / temperature).masked_fill(~keep, -INF), -1)
            sums = torch.cumsum(torch.gather(p, 1, order), -1)
            edge = (sums - top_p).abs()
            assert (edge > 1e-5).all() or torch.equal(x, x.round()), name
            before = torch.gather(sums - torch.gather(p, 1, order), 1, rank)
            keep &= before < top_p - 1e-12
        score = (x / temperature + noise).masked_fill(~keep, -INF)
        two = torch.topk(score, min(2, x.shape[1]), -1).values
        assert x.shape[1] == 1 or (two[:, 0] - two[:, 1] > 1e-4).all(), name
        ids = score.argmax(-1)
    else:
        ids = torch.tensor([int(np.argmax(row)) for row in x.numpy()])
    logprobs = torch.log_softmax(logits.reshape(-1, logits.shape[-1]), -1).gather(1, ids[:, None])[:, 0]
    shape = logits.shape[:-1]
    cases.append({"name": name, "op": "sampleLogits", "flags": flags, "options": options,
                  "inputs": {"logits": named(logits, "f32")},
                  "outputs": {"ids": named(ids.reshape(shape).int(), "i32"), "logProbs": named(logprobs.reshape(shape), "f32")}})

torch.manual_seed(3)
r = lambda *shape: torch.randn(*shape) * 2
ties = lambda *shape: torch.randint(-2, 3, shape).float()
def excluded(t):
    t[torch.rand(t.shape) < 0.5] = -INF
    t[..., 3] = 0.5
    return t
add("one row", ["Plain", "LogProb"], r(20), 1)
add("three axes", ["Plain"], r(2, 3, 7), 2)
add("one word", ["Plain"], r(4, 1), 3)
add("cold", ["Temperature", "LogProb"], r(6, 15), 4, temperature=0.3)
add("hot", ["Temperature"], r(6, 15), 5, temperature=5.0)
add("greedy", ["Greedy"], r(6, 15), 6, temperature=0)
add("greedy with ties", ["Greedy"], ties(8, 9), 7, temperature=0)
add("five of thirty", ["TopK"], r(6, 30), 8, top_k=5)
add("limits among ties", ["TopK"], ties(10, 12), 9, top_k=4)
add("one of many", ["TopK"], ties(6, 12), 10, top_k=1)
add("more than there are", ["TopK", "Excluded"], excluded(r(6, 10)), 11, top_k=9)
add("nine tenths", ["TopP"], r(6, 30), 12, top_p=0.9)
add("nearly nothing", ["TopP"], r(6, 12), 13, top_p=1e-6)
add("a third among ties", ["TopP"], torch.zeros(8, 12), 14, top_p=0.34)
add("half, hot, of ten", ["TopP", "TopK", "Temperature", "LogProb"], r(8, 40), 15, temperature=2.0, top_k=10, top_p=0.5)
add("excluded words", ["Excluded", "TopP"], excluded(r(6, 16)), 16, top_p=0.8)
out = {"op": "sampleLogits", "source": f"torch {torch.__version__} (limits, log_softmax), jax {jax.__version__} (bits), mpmath {mpmath.__version__} (noise)",
       "notes": notes, "cases": cases}
(pathlib.Path(__file__).parent.parent / "sampleLogits.json").write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
