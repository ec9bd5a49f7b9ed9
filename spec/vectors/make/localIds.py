"""Vectors for localIds, made by comparing all pairs in PyTorch."""
import torch
from lib import case, named, write

torch.manual_seed(6)
notes = {"Rows": "each row has words of its own", "Absent": "-1 where the word is not in it", "None": "negative ids and words match nothing", "First": "of equal words the first counts", "Empty": "no words, or no ids"}
cases = []

def add(name, flags, ids, words):
    hit = (ids[..., :, None] == words[..., None, :]) & (ids >= 0)[..., :, None]
    local = torch.where(hit.any(-1), hit.int().argmax(-1), torch.tensor(-1)) if words.shape[-1] else torch.full(ids.shape, -1)
    cases.append(case("localIds", name, flags, {"ids": named(ids.int(), "i32"), "words": named(words.int(), "i32")}, {"local": named(local.int(), "i32")}))

add("one row", ["Absent"], torch.tensor([7, 3, 9, 100_000_000]), torch.tensor([9, 100_000_000, 7]))
add("two rows", ["Rows", "Absent"], torch.tensor([[1, 2], [1, 2]]), torch.tensor([[2, 5, 0], [5, 1, 8]]))
add("negative ids and words", ["None"], torch.tensor([-1, -5, 4]), torch.tensor([-1, 4, -1]))
add("equal words", ["First"], torch.randint(0, 6, (3, 2, 20)), torch.randint(0, 6, (3, 2, 9)))
add("no words", ["Empty"], torch.tensor([[1, 2]]), torch.zeros(1, 0))
add("no ids", ["Empty"], torch.zeros(2, 0), torch.tensor([[1], [2]]))
write("localIds", notes, cases)
