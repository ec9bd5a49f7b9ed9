"""Vectors for gatedFfn, made by PyTorch: layer and gradients in f64 from f32 inputs, rounded once.
Run with a Python that has torch; writes ../gatedFfn.json."""
import torch
from torch.nn.functional import gelu, linear, relu, silu
from lib import case, write

def rounded(t):
    return t.detach().to(torch.float32)

notes = {
    "Swap": "value and gate differ, so exchanging w1 and wg shows",
    "Activation": "each of the four, on gates of both signs",
    "Tail": "gates far out on both sides: erf and tanh that lose their tails, or overflow, show",
    "Kink": "gates that are exactly 0: the derivative of relu there is 0",
    "Bias": "every subset of the biases; a gradient exists for those that were given",
    "Size": "one more and one less than a tile",
    "Empty": "no rows, no features, no hidden units",
    "Integer": "small integers with relu: every order of summation gives these very bits",
}
acts = {"relu": relu, "silu": silu, "gelu": gelu, "geluTanh": lambda g: gelu(g, approximate="tanh")}
names = ["w1", "b1", "wg", "bg", "w2", "b2"]
cases = []
gen = torch.Generator().manual_seed(2)

def randn(*shape):
    return torch.randn(shape, generator=gen, dtype=torch.float64).to(torch.float32)

def weights(d, h, e, make=randn, biases=("b1", "bg", "b2")):
    w = {"w1": make(h, d), "b1": make(h), "wg": make(h, d), "bg": make(h), "w2": make(e, h), "b2": make(e)}
    return {k: v for k, v in w.items() if k.startswith("w") or k in biases}

def add(name, flags, x, w, activation="relu", dy=None):
    wide = {k: v.double().requires_grad_(True) for k, v in w.items()}
    x64 = x.double().requires_grad_(True)
    h = linear(x64, wide["w1"], wide.get("b1")) * acts[activation](linear(x64, wide["wg"], wide.get("bg")))
    y = linear(h, wide["w2"], wide.get("b2"))
    options = {"activation": activation}
    inputs = {"x": x, **{k: w[k] for k in names if k in w}}
    cases.append(case("gatedFfn", name, flags, inputs, {"y": rounded(y)}, options))
    dy = randn(*y.shape) if dy is None else dy
    keys = [k for k in names if k in w]
    grads = torch.autograd.grad(y, [x64] + [wide[k] for k in keys], dy.double())
    outputs = {"dx": rounded(grads[0]), **{"d" + k: rounded(g) for k, g in zip(keys, grads[1:])}}
    cases.append(case("gatedFfnBackward", name + ", gradients", flags, {"dy": dy, **inputs}, outputs, options))

for act in acts:
    add(f"{act}, a batch of rows", ["Activation", "Swap"], randn(2, 3, 5), weights(5, 7, 4), act)
    add(f"{act}, gates from -30 to 30", ["Activation", "Tail"], torch.linspace(-30, 30, 41).reshape(41, 1),
        {"w1": torch.ones(1, 1), "wg": torch.ones(1, 1), "w2": torch.ones(1, 1), "b1": torch.tensor([40.0])}, act)
    add(f"{act}, gates from -4 to 4", ["Activation", "Tail"], torch.linspace(-4, 4, 65).reshape(65, 1),
        {"w1": torch.zeros(1, 1), "wg": torch.ones(1, 1), "w2": torch.ones(1, 1), "b1": torch.tensor([1.0])}, act)
add("a gate of exactly 0", ["Kink"], torch.tensor([[0.0], [-0.0], [1.0], [-1.0]]),
    {"w1": torch.zeros(2, 1), "b1": torch.ones(2), "wg": torch.tensor([[1.0], [0.0]]), "w2": torch.ones(1, 2)})
for biases in ((), ("b1",), ("bg",), ("b2",), ("b1", "bg", "b2")):
    add(f"biases: {', '.join(biases) or 'none'}", ["Bias"], randn(4, 3), weights(3, 5, 2, biases=biases), "silu")
add("around tiles: 17 rows, 33 features, 31 units", ["Size"], randn(17, 33), weights(33, 31, 9))
add("around tiles: 5 rows, 15 features, 65 units", ["Size"], randn(5, 15), weights(15, 65, 3), "gelu")
add("one of everything", ["Size"], randn(1), weights(1, 1, 1))
add("no rows", ["Empty"], randn(0, 3), weights(3, 4, 2))
add("no features", ["Empty", "Bias"], randn(2, 0), weights(0, 4, 2))
add("no hidden units", ["Empty", "Bias"], randn(2, 3), weights(3, 0, 2))
small = lambda *shape: torch.randint(-3, 4, shape, generator=gen).to(torch.float32)
add("integers", ["Integer", "Kink", "Bias"], small(6, 10), weights(10, 12, 5, small), dy=small(6, 5))
write("gatedFfn", notes, cases)
