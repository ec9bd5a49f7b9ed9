"""Vectors for crossEntropy, made by PyTorch and its autograd. Run with a Python that has torch; writes ../crossEntropy.json."""
import json, pathlib, struct
import torch
import torch.nn.functional as F

NAN, INF = float("nan"), float("inf")

def named(t):
    dtype = {torch.float32: "f32", torch.float64: "f64", torch.int32: "i32"}[t.dtype]
    code, word, form = {"f32": ("<f", "<I", "%08x"), "f64": ("<d", "<Q", "%016x"), "i32": ("<i", "<I", "%08x")}[dtype]
    return {"dtype": dtype, "shape": list(t.shape), "bits": [form % struct.unpack(word, struct.pack(code, v))[0] for v in t.flatten().tolist()]}

notes = {
    "Mean": "the mean is over the tokens that count, not over all",
    "Ignored": "ignored tokens give no loss and no gradient, but have an lse",
    "Nothing": "no token counts: loss 0 and count 0, where torch says NaN",
    "Bias": "a bias on the logits, and its gradient",
    "Large": "logits in the hundreds: exp overflows without the shift",
    "Chunk": "more words than one part or one chunk holds",
    "Lse": "lse has a gradient of its own",
    "Excluded": "-Infinity: no such word",
    "Bad": "NaN and +Infinity spoil the loss; a target with logit -Infinity makes it infinite",
    "Wide": "f64 in, f64 out",
}
cases = []
def add(name, flags, x, w, targets, ignore=-100, bias=None, with_lse=False, chunk=None):
    dtype = x.dtype
    x = x.clone().requires_grad_(True)
    w = w.clone().requires_grad_(True)
    b = bias.clone().requires_grad_(True) if bias is not None else None
    t = targets.reshape(-1).long()
    logits = F.linear(x, w, b).reshape(-1, w.shape[0])
    lse = torch.logsumexp(logits, -1)
    count = torch.tensor(int((t != ignore).sum()), dtype=torch.int32)
    loss = F.cross_entropy(logits, t, ignore_index=ignore) if count > 0 else (logits * 0).sum()
    options = {"ignoreIndex": ignore, **({"chunk": chunk} if chunk else {})}
    inputs = {"x": named(x.detach()), "w": named(w.detach()), "targets": named(targets.int()), **({"bias": named(b.detach())} if b is not None else {})}
    shape = targets.shape
    tolerance = {"tolerance": {"absolute": 1e-12, "why": "f64 on both sides"}} if dtype == torch.float64 else {}
    out = {"loss": named(loss.detach().to(dtype)), "count": named(count), "lse": named(lse.detach().reshape(shape))}
    cases.append({"name": name, "op": "crossEntropy", "flags": flags, "options": options, "inputs": inputs, "outputs": out, **tolerance})
    dloss = torch.tensor(0.75, dtype=dtype)
    dlse = torch.linspace(-0.3, 0.4, lse.numel(), dtype=dtype) if with_lse else None
    total = loss * dloss + ((lse * dlse).sum() if with_lse else 0)
    grads = torch.autograd.grad(total, [x, w] + ([b] if b is not None else []))
    extra = {"dLse": named(dlse.reshape(shape))} if with_lse else {}
    cases.append({"name": name + ", gradient", "op": "crossEntropyBackward", "flags": flags, "options": options,
                  "inputs": {"dLoss": named(dloss), **inputs, "lse": out["lse"], "count": out["count"], **extra},
                  "outputs": {"dx": named(grads[0]), "dw": named(grads[1]), **({"dBias": named(grads[2])} if b is not None else {})}, **tolerance})

def plain(name, flags, logits, targets, ignore=-100, with_lse=False, backward=True, loss=None):
    logits = logits.clone().requires_grad_(True)
    flat = logits.reshape(-1, logits.shape[-1])
    t = targets.reshape(-1).long()
    lse = torch.logsumexp(flat, -1)
    lse_out = torch.where(torch.isfinite(lse), lse, torch.tensor(NAN))
    value = F.cross_entropy(flat, t, ignore_index=ignore) if loss is None else torch.tensor(loss)
    count = torch.tensor(int((t != ignore).sum()), dtype=torch.int32)
    inputs = {"logits": named(logits.detach()), "targets": named(targets.int())}
    out = {"loss": named(value.detach()), "count": named(count), "lse": named(lse_out.detach().reshape(targets.shape))}
    cases.append({"name": name, "op": "crossEntropyLogits", "flags": flags, "options": {"ignoreIndex": ignore}, "inputs": inputs, "outputs": out})
    if not backward: return
    dloss = torch.tensor(-1.5)
    dlse = torch.linspace(-0.3, 0.4, lse.numel()) if with_lse else None
    grad, = torch.autograd.grad(value * dloss + ((lse * dlse).sum() if with_lse else 0), [logits])
    extra = {"dLse": named(dlse.reshape(targets.shape))} if with_lse else {}
    cases.append({"name": name + ", gradient", "op": "crossEntropyLogitsBackward", "flags": flags, "options": {"ignoreIndex": ignore},
                  "inputs": {"dLoss": named(dloss), **inputs, "lse": out["lse"], "count": out["count"], **extra},
                  "outputs": {"dLogits": named(grad)}})

torch.manual_seed(7)
r = torch.randn
words = lambda n, *shape: torch.randint(0, n, shape)
add("three tokens", ["Mean"], r(3, 4), r(7, 4), words(7, 3))
add("the seed's ignored word", ["Ignored", "Mean"], r(2, 5, 3), r(9, 3), torch.tensor([[1, 3, 8, 3, 0], [3, 2, 2, 5, 3]]), ignore=3)
add("none counts", ["Nothing"], r(3, 4), r(5, 4), torch.full((3,), 3), ignore=3)
add("a bias", ["Bias"], r(4, 3), r(6, 3), words(6, 4), bias=r(6))
add("a gradient of lse", ["Lse", "Ignored", "Bias"], r(4, 3), r(6, 3), torch.tensor([0, 2, 2, 5]), ignore=2, bias=r(6), with_lse=True)
add("large logits", ["Large"], r(3, 4) * 20, r(8, 4) * 20, words(8, 3))
add("several chunks", ["Chunk"], r(3, 2) * 2, r(150, 2) * 2, torch.tensor([0, 64, 149]), chunk=64)
add("one token, one word", ["Mean"], r(1, 1), r(1, 1), torch.tensor([0]))
add("a vector", ["Mean"], r(5), r(4, 5), torch.tensor(2))
add("double precision", ["Wide"], r(3, 4).double(), r(7, 4).double(), words(7, 3), bias=r(7).double(), with_lse=True)
plain("logits", ["Mean"], r(6, 5) * 3, words(5, 6))
plain("logits of two axes, ignored", ["Ignored"], r(2, 3, 7), torch.tensor([[0, -100, 6], [-100, -100, 1]]))
plain("logits over parts, a gradient of lse", ["Chunk", "Lse"], r(2, 300), torch.tensor([5, 299]), with_lse=True)
masked = r(4, 6)
masked[:, 2] = -INF
masked[1, :3] = -INF
plain("words that are not there", ["Excluded"], masked, torch.tensor([0, 5, 1, 3]))
spoilt = lambda v: torch.tensor([[0.5, v, 1.0], [1.0, 2.0, 3.0]])
plain("NaN", ["Bad"], spoilt(NAN), torch.tensor([0, 1]), backward=False)
plain("infinity", ["Bad"], spoilt(INF), torch.tensor([0, 1]), backward=False, loss=NAN)
plain("NaN in an ignored token", ["Bad", "Ignored"], spoilt(NAN), torch.tensor([-100, 1]), backward=False)
plain("a target that is not there", ["Bad", "Excluded"], spoilt(-INF), torch.tensor([1, 1]), backward=False)
out = {"op": "crossEntropy", "source": f"torch {torch.__version__}, F.cross_entropy, logsumexp and autograd, CPU", "notes": notes, "cases": cases}
(pathlib.Path(__file__).parent.parent / "crossEntropy.json").write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
