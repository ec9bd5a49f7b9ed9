"""Vectors for sampledCrossEntropy, made by PyTorch and its autograd in f64: logits of all words, those outside masked, corrected."""
import torch
from lib import case, named, write

torch.manual_seed(9)
notes = {"Full": "all words and no correction: the full softmax", "Outside": "a target outside of the words takes part", "Hit": "a target among the words counts once, uncorrected", "Ignored": "ignored tokens do not count", "Nothing": "no token counts: loss 0",
         "Inclusion": "log-inclusion probabilities are subtracted", "Tf": "both sides corrected", "Gates": "weights of words, and their gradient", "None": "-1 is no word", "Chunk": "more words than a chunk holds"}
cases = []

def add(name, flags, x, table, words, targets, inclusion=None, target_inclusion=None, gates=None, ignore=-100, chunk=None):
    tx, tt = (t.double().requires_grad_(True) for t in (x, table))
    tg = None if gates is None else gates.double().requires_grad_(True)
    rows = x.reshape(-1, *x.shape[-2:]).shape[0]
    flat = lambda t, n: None if t is None else t.reshape(rows, *t.shape[t.dim() - n:])
    X, W, Y = flat(tx, 2), flat(words, 1), flat(targets, 1)
    Q, QY, G = flat(inclusion, 1), flat(target_inclusion, 1), flat(tg, 1)
    losses, lses, grads = [], [], 0
    for r in range(rows):
        for t in range(X.shape[1]):
            y = int(Y[r, t]); counts = y != ignore
            s = []
            hit = False
            own = None
            for j, w in enumerate(W[r].tolist()):
                if w < 0: continue
                v = X[r, t] @ tt[w]
                if G is not None: v = v + torch.log(G[r, j])
                if counts and w == y:
                    hit = True
                    v = v - (QY[r, t].double() if QY is not None else 0)
                    own = v
                elif Q is not None: v = v - Q[r, j].double()
                s.append(v)
            if counts and not hit:
                own = X[r, t] @ tt[y] - (QY[r, t].double() if QY is not None else 0)
                s.append(own)
            lse = torch.logsumexp(torch.stack(s), 0) if s else torch.tensor(float("nan")).double()
            lses.append(lse.detach())
            if counts: losses.append(lse - own)
    count = len(losses)
    loss = torch.stack(losses).mean() if count else (tx * 0).sum()
    opts = {"ignoreIndex": ignore, **({"chunk": chunk} if chunk else {}), **({"correction": "tf"} if target_inclusion is not None else {})}
    given = {"x": x, "table": table, "words": named(words.int(), "i32"), "targets": named(targets.int(), "i32")}
    if inclusion is not None: given["logInclusion"] = inclusion
    if target_inclusion is not None: given["targetLogInclusion"] = target_inclusion
    if gates is not None: given["gates"] = gates
    lse = torch.stack(lses).reshape(targets.shape).float()
    c = named(torch.tensor(count), "i32")
    cases.append(case("sampledCrossEntropy", name, flags, given, {"loss": loss.detach().float(), "count": c, "lse": lse}, opts))
    if any(torch.isnan(v) for v in lses): return
    grad = torch.autograd.grad(loss * 0.75, [tx, tt] + ([tg] if tg is not None else []), allow_unused=True)
    dt = grad[1] if grad[1] is not None else torch.zeros_like(tt)
    out = {"dx": grad[0].float(), "dTable": dt.float()}
    if tg is not None: out["dGates"] = grad[2].float()
    cases.append(case("sampledCrossEntropyBackward", name + ", gradient", flags, {"dLoss": torch.tensor(0.75), **given, "lse": lse, "count": c}, out, opts))

r = torch.randn
add("all words", ["Full"], r(3, 4), r(6, 4), torch.randperm(6), torch.tensor([5, 0, 3]))
add("targets outside and inside", ["Outside", "Hit"], r(2, 3, 4), r(9, 4), torch.tensor([[1, 8, 4], [0, 2, 3]]), torch.tensor([[1, 5, 7], [3, 8, 0]]))
add("log-inclusion", ["Inclusion", "Hit", "Outside"], r(1, 3, 4), r(9, 4), torch.tensor([[1, 8, 4]]), torch.tensor([[1, 5, 8]]), -torch.rand(1, 3))
add("both corrected", ["Tf", "Hit", "Outside"], r(1, 3, 4), r(9, 4), torch.tensor([[1, 8, 4]]), torch.tensor([[1, 5, 8]]), -torch.rand(1, 3), -torch.rand(1, 3))
add("gates", ["Gates", "Inclusion", "Hit"], r(2, 2, 3), r(7, 3), torch.tensor([[6, 2, 0], [1, 2, 3]]), torch.tensor([[6, 4], [2, 3]]), -torch.rand(2, 3), None, torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.25, 0.9]]))
add("places without a word", ["None", "Outside"], r(2, 2, 3), r(5, 3), torch.tensor([[4, -1], [-1, -1]]), torch.tensor([[4, 0], [1, 3]]))
add("ignored tokens", ["Ignored", "None"], r(2, 2, 3), r(5, 3), torch.tensor([[4, 1], [-1, -1]]), torch.tensor([[3, 0], [3, 1]]), ignore=3)
add("no token counts", ["Nothing"], r(2, 3), r(5, 3), torch.tensor([4, 1]), torch.tensor([3, 3]), ignore=3)
add("several chunks", ["Chunk", "Hit", "Outside"], r(1, 2, 2), r(200, 2), torch.randperm(200)[None, :130], torch.tensor([[7, 11]]), chunk=64)
write("sampledCrossEntropy", notes, cases)
