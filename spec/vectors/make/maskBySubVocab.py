"""Vectors for maskBySubVocab, made by scatter and masked_fill of PyTorch, and its autograd."""
import torch
from lib import case, named, write

torch.manual_seed(7)
notes = {"Rows": "each row has words of its own, shared by its tokens", "None": "-1 stands for no word", "Repeat": "a word may occur twice", "Bits": "NaN, zeros and infinities inside are copied as they are"}
cases = []

def add(name, flags, logits, words):
    inside = torch.zeros(*words.shape[:-1], logits.shape[-1] + 1, dtype=torch.bool)
    inside.scatter_(-1, (words + 1).long(), True)
    x = logits.clone().requires_grad_(True)
    y = x.masked_fill(~inside[..., None, 1:], -torch.inf)
    given = {"words": named(words.int(), "i32")}
    cases.append(case("maskBySubVocab", name, flags, {"logits": logits, **given}, {"y": y.detach()}))
    dy = (torch.arange(y.numel()).reshape(y.shape) % 13 - 5).float()
    cases.append(case("maskBySubVocabBackward", name + ", gradient", flags, {"dy": dy, **given}, {"dLogits": torch.autograd.grad(y, x, dy)[0]}))

add("one row", ["Repeat"], torch.randn(3, 5), torch.tensor([4, 0, 4]))
add("two rows", ["Rows", "None"], torch.randn(2, 2, 40), torch.tensor([[39, 31, 32], [-1, 0, -1]]))
add("no words", ["None"], torch.randn(1, 2, 3), torch.tensor([[-1, -1]]))
cases.append(case("maskBySubVocab", "special values", ["Bits"], {"logits": torch.tensor([[float("nan"), -0.0, torch.inf, 2.0**-149]]), "words": named(torch.tensor([0, 1, 3]).int(), "i32")},
                  {"y": torch.tensor([[float("nan"), -0.0, -torch.inf, 2.0**-149]])}))
write("maskBySubVocab", notes, cases)
