"""Vectors for matmul, made by PyTorch: products and gradients in f64 from f32 inputs, rounded once.
Run with a Python that has torch; writes ../matmul.json."""
import torch
from lib import case, write

def rounded(t):
    return t.detach().to(torch.float32)

notes = {
    "Transpose": "transposeA reads a as [K, M], transposeB reads b as [N, K]; swapping the two shows wherever M, K, N differ",
    "Bias": "added to each row once, also when K = 0",
    "Broadcast": "batch axes that are 1 or absent repeat the matrix, and its gradient is the sum over the repeats",
    "Empty": "K = 0 is a sum over nothing; empty M, N or batch give empty results",
    "Size": "one more and one less than a tile, so that a dropped or doubled edge shows",
    "Cancellation": "large terms of both signs leave a small sum; a bound relative to the result rejects right kernels here",
    "Integer": "small integers: every order of summation gives these very bits",
}
cases = []
gen = torch.Generator().manual_seed(1)

def randn(shape):
    return torch.randn(shape, generator=gen, dtype=torch.float64).to(torch.float32)

def integers(shape):
    return torch.randint(-8, 9, shape, generator=gen).to(torch.float32)

def add(name, flags, a, b, bias=None, ta=False, tb=False):
    options = {}
    if ta: options["transposeA"] = True
    if tb: options["transposeB"] = True
    a64, b64 = a.double().requires_grad_(True), b.double().requires_grad_(True)
    bias64 = None if bias is None else bias.double().requires_grad_(True)
    y = torch.matmul(a64.mT if ta else a64, b64.mT if tb else b64)
    if bias is not None: y = y + bias64
    inputs = {"a": a, "b": b, **({} if bias is None else {"bias": bias})}
    cases.append(case("matmul", name, flags, inputs, {"y": rounded(y)}, options))
    dy = randn(y.shape)
    da, db = torch.autograd.grad(y, [a64, b64], dy.double(), allow_unused=True)
    d_bias = dy.double().sum(tuple(range(dy.dim() - 1)))
    cases.append(case("matmulBackward", name + ", gradients", flags, {"dy": dy, "a": a, "b": b},
                      {"da": rounded(da), "db": rounded(db), "dBias": rounded(d_bias)}, options))

add("a row times a column", ["Size"], randn([1, 5]), randn([5, 1]))
add("a column times a row", ["Size"], randn([5, 1]), randn([1, 6]))
add("one by one", ["Size"], randn([1, 1]), randn([1, 1]), randn([1]))
for ta in (False, True):
    for tb in (False, True):
        add(f"transposeA {ta}, transposeB {tb}", ["Transpose", "Bias"], randn([5, 3] if ta else [3, 5]),
            randn([4, 5] if tb else [5, 4]), randn([4]), ta, tb)
add("a layer over a batch of tokens", ["Broadcast", "Bias", "Transpose"], randn([2, 3, 7]), randn([5, 7]), randn([5]), tb=True)
add("one left factor for a batch of right ones", ["Broadcast"], randn([3, 7]), randn([4, 7, 2]))
add("both repeat, each along another axis", ["Broadcast"], randn([2, 1, 3, 4]), randn([1, 3, 4, 2]))
add("an axis that the other lacks", ["Broadcast"], randn([2, 3, 2, 4]), randn([3, 4, 5]))
add("K = 0 gives the bias", ["Empty", "Bias"], randn([2, 0]), randn([0, 3]), randn([3]))
add("no rows", ["Empty"], randn([0, 4]), randn([4, 3]), randn([3]))
add("no columns", ["Empty"], randn([2, 4]), randn([4, 0]))
add("no batch", ["Empty", "Broadcast"], randn([0, 2, 4]), randn([4, 3]))
add("around tiles: 17, 33, 9", ["Size"], randn([17, 33]), randn([33, 9]))
add("around tiles: 15, 31, 65", ["Size", "Transpose"], randn([15, 31]), randn([65, 31]), tb=True)
add("integers", ["Integer", "Bias"], integers([6, 40]), integers([40, 7]), integers([7]))
big = randn([4, 1]) * 2.0 ** 20
add("large terms of both signs leave a small sum", ["Cancellation"], torch.cat([big, -big, randn([4, 3])], 1),
    torch.cat([torch.ones(2, 5), randn([3, 5])]))
write("matmul", notes, cases)
