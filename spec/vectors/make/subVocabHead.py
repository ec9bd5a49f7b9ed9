"""Vectors for subVocabHead, made by PyTorch in f64 and rounded once: the words' rows are gathered, multiplied, and masked."""
import torch
from lib import case, named, write

torch.manual_seed(8)
notes = {"Rows": "each row has words of its own, shared by its tokens", "None": "-1: the logit is -Infinity, and has no gradient", "Repeat": "two rows share words: their gradients add up", "Chunk": "more words than a chunk holds"}
cases = []

def add(name, flags, x, table, words, options=None):
    tx, tt = (t.double().requires_grad_(True) for t in (x, table))
    rows = tt[words.clamp(min=0)]
    y = (tx @ rows.transpose(-1, -2)).masked_fill((words < 0)[..., None, :], -torch.inf)
    given = {"x": x, "table": table, "words": named(words.int(), "i32")}
    cases.append(case("subVocabHead", name, flags, given, {"logits": y.detach().float()}, options))
    dy = (torch.arange(y.numel()).reshape(y.shape) % 7 - 2).float()
    dx, dt = torch.autograd.grad(y, (tx, tt), dy.double())
    cases.append(case("subVocabHeadBackward", name + ", gradient", flags, {"dLogits": dy, **given}, {"dx": dx.float(), "dTable": dt.float()}, options))

add("one row", ["Rows"], torch.randn(2, 3), torch.randn(9, 3), torch.tensor([8, 0, 4]))
add("rows that share words", ["Rows", "Repeat"], torch.randn(2, 3, 4), torch.randn(6, 4), torch.tensor([[5, 1, 0], [1, 5, 2]]))
add("places without a word", ["None"], torch.randn(2, 2, 2), torch.randn(5, 2), torch.tensor([[4, -1], [-1, -1]]))
add("several chunks", ["Chunk"], torch.randn(1, 2, 2), torch.randn(200, 2), torch.randperm(200)[None, :130], {"chunk": 64})
write("subVocabHead", notes, cases)
