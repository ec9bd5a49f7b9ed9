"""Vectors for prefixMask: bytes.startswith and a linear search of Python, no code shared with either twin."""
import torch
from lib import case, named, write

NOTES = {
    "Split": "a prefix that ends inside a character: bytes count, not characters",
    "Special": "words without bytes are never allowed",
    "Exact": "the prefix is itself a word",
    "Covers": "a prefix longer than its pieces",
    "None": "no word begins with the prefix",
    "Empty": "an empty prefix allows every word with bytes",
    "Twice": "equal words stand side by side in a range",
    "High": "bytes above 127 sort after those below",
}

def strings(items):
    data = b"".join(items)
    data += b"\0" * (-len(data) % 4)
    offsets = [0]
    for s in items:
        offsets.append(offsets[-1] + len(s))
    words = [int.from_bytes(data[i:i + 4], "little") for i in range(0, len(data), 4)]
    return named(torch.tensor(words, dtype=torch.int64), "u32"), named(torch.tensor(offsets), "u32")

vocabulary = [b"", b"a", b"ab", b"abc", b"abd", b"b", "é".encode(), "éa".encode(), "é".encode()[:1], b"\xff", b"ab", b"", b"bcd", b" import", b" imp"]
prefixes = [b"ab", b"", b"abcd", "é".encode()[:1], b"zz", b"\xff", b" import", b"b"]
flags = ["Exact", "Empty", "Covers", "Split", "None", "High", "Exact", "Special"]
logits = torch.randn(len(prefixes), len(vocabulary), generator=torch.Generator().manual_seed(1))

def given(words):
    w, o = strings(words)
    p, po = strings(prefixes)
    return {"words": w, "offsets": o, "prefixes": p, "prefixOffsets": po}

cases = []
for covers in (False, True):
    keep = [[len(w) > 0 and (w.startswith(p) or (covers and p.startswith(w))) for w in vocabulary] for p in prefixes]
    y = torch.where(torch.tensor(keep), logits, torch.tensor(float("-inf")))
    d = torch.where(torch.tensor(keep), logits, torch.tensor(0.0))
    options = {"covers": covers}
    cases.append(case("prefixMask", f"covers {covers}", sorted(set(flags)), {"logits": logits, **given(vocabulary)}, {"y": y}, options))
    cases.append(case("prefixMaskBackward", f"covers {covers}, gradient", sorted(set(flags)), {"dy": logits, **given(vocabulary)}, {"dLogits": d}, options))
ordered = sorted(vocabulary)
first = [sum(w < p for w in ordered) for p in prefixes]
end = [f + sum(w.startswith(p) for w in ordered) for f, p in zip(first, prefixes)]
cases.append(case("prefixMaskRange", "sorted", sorted({*flags, "Twice"}), given(ordered), {"first": named(torch.tensor(first), "i32"), "end": named(torch.tensor(end), "i32")}))
write("prefixMask", NOTES, cases)
