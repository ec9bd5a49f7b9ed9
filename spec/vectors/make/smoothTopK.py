"""Vectors for smoothTopK, made by PyTorch in f64 with automatic differentiation. Writes ../smoothTopK.json.

Each method is written here from its definition: thresholds by halving and one differentiable Newton step at the root,
gradTopK by enumerating all subsets, the iterated softmax as published. The printed golden values are asserted.
"""
import itertools, json, math, pathlib
import torch
from lib import named

torch.set_default_dtype(torch.float64)
INF = math.inf
shapes = {
    "exp": lambda y: torch.exp(torch.clamp(y, max=0.0)),
    "sigmoid": torch.sigmoid,
    "laplace": lambda y: torch.where(y < 0, torch.exp(torch.clamp(y, max=0.0)) / 2, 1 - torch.exp(-torch.clamp(y, min=0.0)) / 2),
    "clip": lambda y: torch.clamp(y, 0.0, 1.0),
}

def slope(f, y):
    y = y.detach().clone().requires_grad_(True)
    return torch.autograd.grad(f(y).sum(), y)[0]

def threshold(method, x, k):
    """(values, lambda), both differentiable in x and in k."""
    f = shapes[method]
    with torch.no_grad():
        lo, hi = x.min() - 50, x.max() + 50
        for _ in range(200):
            mid = (lo + hi) / 2
            lo, hi = (mid, hi) if f(x - mid).sum() > k else (lo, mid)
        root = (lo + hi) / 2
    w = slope(f, x - root).sum()
    moved = root + (f(x - root).sum() - k) / w
    return f(x - moved), moved

def grad_top_k(x, k):
    subsets = list(itertools.combinations(range(len(x)), k))
    weights = torch.softmax(torch.stack([sum((x[i] for i in s), torch.zeros(())) for s in subsets]), 0)
    return torch.stack([sum((w for w, s in zip(weights, subsets) if i in s), torch.zeros(())) for i in range(len(x))])

def iterated(x, k):
    x = x - x.min()
    p = torch.zeros_like(x)
    for _ in range(k):
        p = p + torch.softmax((1 - p) * x, 0)
    return p

notes = {
    "Golden": "values printed in published sources or derived by hand",
    "LaplaceAll": "every score lies above lambda: the case m = n, which the published code leaves out",
    "Counterexample": "the iterated softmax: above 1, or out of order",
    "Ties": "equal scores",
    "Temperature": "scores are divided by it; its own gradient",
    "Edge": "k = 0 and k = N",
    "Random": "ordinary numbers",
}
cases = []

def case(name, flags, method, scores, k, tau=1.0, golden=None):
    n = len(scores)
    x = torch.tensor(scores, requires_grad=True)
    t = torch.tensor(tau, requires_grad=True)
    count = torch.tensor(float(k), requires_grad=True)
    y = x / t
    lam = None
    constant = method != "iteratedSoftmax" and k in (0, n)
    if constant:
        values = torch.full((n,), 1.0 if k else 0.0) + 0 * x
    elif method == "iteratedSoftmax":
        values = iterated(y, k)
    elif method == "gradTopK":
        values = grad_top_k(y, k)
    else:
        values, lam = threshold(method, y, count)
    if golden is not None:
        assert (values - torch.tensor(golden)).abs().max() < 2e-9, (name, method, values)
    g = torch.tensor([((3 * i * i + 5 * i + 2) % 11) / 4 - 1 for i in range(n)])
    v = torch.tensor([((2 * i * i + 7 * i + 1) % 13) / 5 - 1 for i in range(n)])
    zero = torch.zeros(())
    if constant or k == 0:
        dx, dt, dk = torch.zeros(n), zero, zero
    else:
        dx, dt, dk = torch.autograd.grad(values, [x, t, count], g, retain_graph=True, allow_unused=True)
        dk = zero if dk is None else dk
    jacobian = torch.zeros(n, n) if constant or k == 0 else torch.stack(
        [torch.autograd.grad(values[i], x, retain_graph=True)[0] for i in range(n)])
    kappa = 0.0 if method in ("gradTopK", "iteratedSoftmax") else (INF if k == 0 else -INF if k == n else (lam * t).item())
    options = {"k": k, "method": method, "temperature": tau}
    common = {"flags": flags, "options": options, "tolerance": {"absolute": 2e-10, "why": "f64 on both sides, by different methods"}}
    label = f"{name}, k = {k}, {method}" + (f", temperature {tau}" if tau != 1 else "")
    f64 = lambda a: named(torch.as_tensor(a), "f64")
    given = {"x": f64(x.detach())}
    # Where all entries are saturated lambda may be anywhere.
    flat = lam is not None and all(v in (0.0, 1.0) for v in values.tolist())
    made = {"values": f64(values.detach())} if flat else {"values": f64(values.detach()), "threshold": f64(torch.tensor(kappa))}
    cases.append({"name": label, "op": "smoothTopK", **common, "inputs": given, "outputs": made})
    cases.append({"name": f"{label}, gradient", "op": "smoothTopKBackward", **common, "inputs": {**given, "dValues": f64(g)},
                  "outputs": {"dx": f64(dx), "dK": f64(dk), "dTemperature": f64(dt)}})
    cases.append({"name": f"{label}, tangent", "op": "smoothTopKJvp", **common, "inputs": {**given, "tangent": f64(v)}, "outputs": {"dValues": f64(jacobian @ v)}})

four = [3.0, 2.0, 1.0, 4.0]
golden = {
    (1, "exp"): [.236882818, .087144319, .032058603, .643914260], (1, "gradTopK"): [.236882818, .087144319, .032058603, .643914260],
    (1, "sigmoid"): [.290284958, .130789009, .052450939, .526475094], (1, "laplace"): [.247350193, .090995051, .033475208, .628179548],
    (2, "gradTopK"): [.694413305, .305586695, .119202922, .880797078], (2, "exp"): [.665240956, .244728471, .090030573, 1],
    (2, "sigmoid"): [.622459331, .377540669, .182425524, .817574476], (2, "laplace"): [.69673467, .30326533, .11156508, .88843492],
    (3, "gradTopK"): [.912855681, .763117182, .35608574, .967941397], (3, "exp"): [1, .731058579, .268941421, 1],
    (3, "sigmoid"): [.869210991, .709715042, .473524906, .947549061], (3, "laplace"): [.909004949, .752649807, .371820452, .966524792],
}
methods = ["exp", "sigmoid", "laplace", "clip", "gradTopK", "iteratedSoftmax"]
for method in methods:
    for k in (1, 2, 3):
        # Clip of whole numbers has its bends at whole numbers: moved apart, so that one derivative is right.
        scores = [3.1, 2.6, 2.3, 3.4] if method == "clip" else four
        known = golden.get((k, method))
        if known is not None:
            known = [v if v == 1 else v for v in known]
        case("[3.1, 2.6, 2.3, 3.4]" if method == "clip" else "[3, 2, 1, 4]", ["Golden"] if known else ["Random"], method, scores, k, golden=known)
    case("[.5, -1, 2, 2, 0]" if method != "iteratedSoftmax" else "[.5, -1, 2, 2.5, 0]", ["Ties"], method,
         [0.5, -1.0, 2.0, 2.0 if method != "iteratedSoftmax" else 2.5, 0.0], 2)
    case("[5, 4.9, 4.8]", ["LaplaceAll", "Golden"], method, [5.0, 4.9, 4.8], 2,
         golden=[.699390395, .667775006, .632834599] if method in ("laplace", "gradTopK") else None)
    for tau in (0.5, 2.0):
        case("five scores", ["Temperature"], method, [0.3, -1.25, 2.2, 0.9, -0.45], 2, tau)
    for k in (0, 3):
        case("three scores", ["Edge"], method, [0.3, -1.25, 2.2], k)
    torch.manual_seed(3)
    case("nine random scores", ["Random"], method, (torch.randn(9) * 2).tolist(), 4, 0.8)
case("three scores out of order", ["Counterexample"], "iteratedSoftmax", [-2.584, 1.774, 4.536], 2)
assert iterated(torch.tensor(four), 3).max() > 1.117

out = {"op": "smoothTopK", "source": f"torch {torch.__version__}, CPU, f64 with autograd", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "smoothTopK.json"
path.write_text(json.dumps(out, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
print(len(cases), "cases")
