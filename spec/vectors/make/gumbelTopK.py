"""Vectors for gumbelTopK, made by PyTorch in f64 with automatic differentiation. Writes ../gumbelTopK.json.

The noise is an input. The relaxations are written here from their definitions, and their gradients are torch's own: the
thresholds through one differentiable Newton step at the root, exactly-k as the gradient of the log partition function.
"""
import itertools, json, math, pathlib, struct
import torch

torch.set_default_dtype(torch.float64)
here = pathlib.Path(__file__).parent.parent
INF = math.inf

def word(v, dtype):
    if dtype == "f64":
        return "%016x" % struct.unpack("<Q", struct.pack("<d", v))[0]
    return "%08x" % struct.unpack("<I", struct.pack({"f32": "<f", "i32": "<i", "u32": "<I"}[dtype], v))[0]

def named(t, dtype):
    t = torch.as_tensor(t)
    return {"dtype": dtype, "shape": list(t.shape), "bits": [word(v, dtype) for v in t.flatten().tolist()]}

# --- relaxations -----------------------------------------------------------------------------------------------------

shapes = {
    "thresholdExp": lambda y: torch.exp(torch.clamp(y, max=0.0)),
    "thresholdSigmoid": torch.sigmoid,
    "thresholdLaplace": lambda y: torch.where(y < 0, torch.exp(torch.clamp(y, max=0.0)) / 2, 1 - torch.exp(-torch.clamp(y, min=0.0)) / 2),
}
# The slope of f, for the Newton step; torch differentiates f itself.
slopes = {
    "thresholdExp": lambda y: torch.where(y < 0, torch.exp(torch.clamp(y, max=0.0)), torch.zeros_like(y)),
    "thresholdSigmoid": lambda y: torch.sigmoid(y) * torch.sigmoid(-y),
    "thresholdLaplace": lambda y: torch.exp(-y.abs()) / 2,
}

def threshold(name, x, k):
    f, slope = shapes[name], slopes[name]
    with torch.no_grad():
        lo, hi = x.min() - 50, x.max() + 50
        for _ in range(200):
            mid = (lo + hi) / 2
            lo, hi = (mid, hi) if f(x - mid).sum() > k else (lo, mid)
        root = (lo + hi) / 2
        w = slope(x - root).sum()
    # lambda(x) to first order: the root moves by (df) / w.
    moved = root + (f(x - root).sum() - k) / w
    return f(x - moved)

def exact_k(x, k):
    """Gradient of the log of the k-th elementary symmetric polynomial of e^x."""
    if not x.requires_grad:
        x = x.clone().requires_grad_(True)
    e = [torch.zeros(())] + [torch.tensor(-INF)] * k
    for v in x:
        e = [e[0]] + [torch.logaddexp(e[j], e[j - 1] + v) if bool(e[j - 1] > -INF) else e[j] for j in range(1, k + 1)]
    return torch.autograd.grad(e[k], x, create_graph=True)[0]

def relaxed_top_k(w, k, tau):
    y, n = torch.zeros_like(w), len(w)
    for _ in range(k):
        x = w / tau
        y = y + torch.softmax(x, -1)
        # log(1 - p[i]) from the sum over the others, which 1 - p would lose next to p = 1.
        others = torch.stack([torch.logsumexp(torch.cat([x[:i], x[i + 1:]]), 0) if n > 1 else torch.tensor(-INF) for i in range(n)])
        w = w + torch.clamp(others - torch.logsumexp(x, 0), min=math.log(2.0**-126))
    return y

def relax(name, scores, k, tau):
    if name == "relaxedTopK":
        return relaxed_top_k(scores, k, tau)
    if k == len(scores):
        return torch.ones_like(scores) + 0 * scores
    return exact_k(scores / tau, k) if name == "exactK" else threshold(name, scores / tau, k)

def brute_exact_k(x, k):
    w = {s: math.exp(sum(x[i] for i in s)) for s in itertools.combinations(range(len(x)), k)}
    z = sum(w.values())
    return [sum(v for s, v in w.items() if i in s) / z for i in range(len(x))]

names = ["thresholdExp", "thresholdSigmoid", "thresholdLaplace", "exactK", "relaxedTopK"]
notes = {
    "Order": "best first; equal scores: the smaller index first",
    "Short": "fewer positions than k take part: index -1, threshold -infinity, logInclusion 0",
    "Threshold": "the (k+1)-th score, not the k-th",
    "LogInclusion": "log(1 - exp(-exp(logit - threshold))), with the logit and not the score; accurate for both signs",
    "Golden": "values printed in published sources or derived by hand",
    "LaplaceAll": "every score lies above lambda: the case m = n, which the published code leaves out",
    "Ties": "equal scores, a kink or a shared mass",
    "Spread": "scores far apart: saturated entries, underflow in a linear domain",
    "Temperature": "scores are divided by it, and so is the gradient",
    "Sparse": "the gradient is given for the selected positions only",
    "Extremes": "k = 1, k = n - 1, k = n",
    "MassAboveOne": "entries of relaxedTopK exceed 1",
}
cases = []

def hard(name, flags, logits, noise, k):
    logits = torch.tensor(logits, dtype=torch.float32)
    noise = torch.tensor(noise, dtype=torch.float32)
    scores = logits + noise                      # f32, rounded to nearest
    valid = logits > -INF
    order = sorted((i for i in range(len(logits)) if valid[i]), key=lambda i: (-scores[i].item(), i))
    chosen = order[:k]
    kappa = scores[order[k]].item() if len(order) > k else -INF
    pad = k - len(chosen)
    def log_q(i):
        y = math.exp(min(logits[i].item() - kappa, 700)) if kappa > -INF else INF
        return math.log(-math.expm1(-y)) if y < 0.7 else math.log1p(-math.exp(-y))
    hot = [1.0 if i in chosen else 0.0 for i in range(len(logits))]
    cases.append({"name": name, "op": "gumbelTopK", "flags": flags, "options": {"k": k, "kHot": True},
                  "inputs": {"logits": named(logits.double(), "f32"), "noise": named(noise.double(), "f32")},
                  "outputs": {"indices": named(torch.tensor(chosen + [-1] * pad, dtype=torch.int32), "i32"),
                              "scores": named(torch.tensor([scores[i].item() for i in chosen] + [-INF] * pad), "f32"),
                              "logInclusion": named(torch.tensor([log_q(i) + 0.0 for i in chosen] + [0.0] * pad), "f32"),
                              "threshold": named(torch.tensor(kappa), "f32"),
                              "counts": named(torch.tensor(len(chosen), dtype=torch.int32), "i32"),
                              "kHot": named(torch.tensor(hot), "f32")}})

def soft(name, flags, relaxation, scores, k, tau=1.0, indices=None, tolerance=1e-12):
    """Without noise: the scores are the logits. In f64, so that the tolerance is tight."""
    x = torch.tensor(scores, requires_grad=True)
    y = relax(relaxation, x, k, tau)
    n = len(scores)
    if relaxation == "exactK" and n <= 12 and tau == 1.0:
        assert max(abs(a - b) for a, b in zip(y.tolist(), brute_exact_k(scores, k))) < 1e-12
    g = torch.tensor([((3 * i * i + 5 * i + 2) % 11) / 4 - 1 for i in range(n)])
    options = {"k": k, "relaxation": relaxation, "temperature": tau}
    cases.append({"name": f"{name}, {relaxation}", "op": "gumbelTopKRelaxed", "flags": flags, "options": options,
                  "inputs": {"logits": named(x.detach(), "f64")}, "outputs": {"relaxed": named(y.detach(), "f64")},
                  "tolerance": {"absolute": tolerance, "why": "f64 on both sides, by different methods"}})
    given = {"dKHot": named(g, "f64")}
    if indices is not None:
        kept = [i for i in indices if i >= 0]
        given = {"dKHot": named([g[i].item() if i >= 0 else 5.0 for i in indices], "f64"),
                 "positions": named(torch.tensor(indices, dtype=torch.int32), "i32")}
        g = torch.tensor([g[i].item() if i in kept else 0.0 for i in range(n)])
    dx = torch.autograd.grad(y, x, g)[0] if y.requires_grad else torch.zeros(n)
    cases.append({"name": f"{name}, {relaxation}, gradient", "op": "gumbelTopKBackward", "flags": flags, "options": options,
                  "inputs": {"logits": named(x.detach(), "f64"), **given}, "outputs": {"dLogits": named(dx, "f64")},
                  "tolerance": {"absolute": 50 * tolerance, "why": "f64 on both sides, by different methods"}})

zero = [0.0] * 6
hard("two of six", ["Order", "Threshold", "LogInclusion"], [1, 0.2, -0.5, 0.7, -1.2, 0], [0.3, 2.5, -0.1, 0.4, 1.9, -1], 2)
hard("equal scores", ["Order", "Ties"], [1, 2, 0, 2, 1, 1.5], [1, 0, 2, 0, 1, 0.5], 3)
hard("-infinity takes no part", ["Short"], [-INF, 1, -INF, 0.5, 2, -INF], [9, 0, 9, 0, -4, 9], 4)
hard("all are selected", ["Short", "Extremes"], [3, 1, 2], [0.5, 0.25, 0.125], 3)
hard("one", ["Extremes", "LogInclusion"], [3, 1, 2, -7], [0.5, 4.25, 0.125, 1], 1)
hard("none", ["Extremes", "Threshold"], [3, 1, 2, -7], [0.5, 4.25, 0.125, 1], 0)
hard("logits far apart", ["LogInclusion", "Spread"], [80, -80, 30, 0, -30, 5, 4], [0, 85, 0, 6, 0, 0, 0.5], 3)
hard("rounding of the sum decides", ["Order", "Ties"], [16777216, 16777216, 16777215, 16777217], [1, 2, 1, 0], 2)
for s in range(4):
    torch.manual_seed(s)
    n, k = [(9, 3), (40, 8), (65, 64), (130, 17)][s]
    hard(f"random, {k} of {n}", ["Order", "Threshold", "LogInclusion"], torch.randn(n).mul(2).float().tolist(),
         (-torch.log(-torch.log(torch.rand(n)))).float().tolist(), k)

for name in names:
    for k in (1, 2, 3, 4):
        soft(f"[3, 2, 1, 4], k = {k}", ["Golden", "Extremes"] + (["MassAboveOne"] if name == "relaxedTopK" else []), name, [3.0, 2.0, 1.0, 4.0], k)
    soft("[.5, -1, 2, 2, 0], k = 2", ["Golden", "Ties"], name, [0.5, -1.0, 2.0, 2.0, 0.0], 2)
    soft("[5, 4.9, 4.8], k = 2", ["Golden", "LaplaceAll"], name, [5.0, 4.9, 4.8], 2)
    for tau in (0.5, 0.1, 2.0):
        soft(f"[3, 2, 1, 4], k = 2, temperature {tau}", ["Temperature"], name, [3.0, 2.0, 1.0, 4.0], 2, tau, tolerance=1e-11)
    soft("far apart", ["Spread"], name, [40.0, -35.0, 12.0, 3.0, -60.0, 11.0, 2.5], 3, tolerance=1e-11)
    soft("sparse gradient", ["Sparse"], name, [0.3, -1.2, 2.2, 0.9, -0.4, 1.7], 3, 0.7, [2, 5, 3, -1])
    torch.manual_seed(7)
    soft("random, 6 of 24", ["Temperature"], name, torch.randn(24).tolist(), 6, 0.8)
    soft("random, 30 of 60", ["Spread"], name, (torch.randn(60) * 4).tolist(), 30, tolerance=1e-10)

out = {"op": "gumbelTopK", "source": f"torch {torch.__version__}, CPU, f64 with autograd", "notes": notes, "cases": cases}
(here / "gumbelTopK.json").write_text(json.dumps(out, indent=None, separators=(",", ":")) .replace('{"name"', '\n{"name"') + "\n")
print(len(cases), "cases")
