"""Vectors for surfaceForms, by trying every segmentation. Costs are integers; ties go to the longest last piece, at every end."""
import itertools
import torch
from lib import case, named, write

notes = {"Plain": "fewest pieces", "Costs": "costs that make two cheap pieces better than one", "Tie": "equal costs: the longest last piece",
         "Cut": "more pieces than places", "None": "a word that cannot be spelled, and an empty one", "Bytes": "bytes above 127 and zero"}
cases = []

def pack(strings):
    joined = b"".join(strings)
    joined += b"\0" * (-len(joined) % 4 or (4 if not joined else 0))
    words = [int.from_bytes(joined[i:i + 4], "little") for i in range(0, len(joined), 4)]
    offsets = list(itertools.accumulate((len(s) for s in strings), initial=0))
    return named(torch.tensor(words), "u32"), named(torch.tensor(offsets), "u32")

def segmentations(word, pieces):
    if not word:
        yield ()
    for n in range(1, len(word) + 1):
        if word[:n] in pieces:
            for rest in segmentations(word[n:], pieces):
                yield (word[:n],) + rest

def add(name, flags, words, pieces, length=7, padding=-1):
    pieces = dict(sorted(pieces.items()))
    forms, counts = [], []
    for word in words:
        # The least cost; among equals the longest last piece, then the longest one before it, ...
        best = min(segmentations(word, pieces), key=lambda s: (sum(pieces[p][1] for p in s), [-len(p) for p in reversed(s)]), default=())
        counts.append(len(best))
        row = [pieces[p][0] for p in best[:length]]
        forms.append(row + [padding] * (length - len(row)))
    w, o = pack(words)
    p, po = pack(list(pieces))
    given = {"words": w, "offsets": o, "pieces": p, "pieceOffsets": po,
             "ids": named(torch.tensor([v[0] for v in pieces.values()]), "i32"), "costs": named(torch.tensor([v[1] for v in pieces.values()]), "u32")}
    cases.append(case("surfaceForms", name, flags, given, {"forms": named(torch.tensor(forms), "i32"), "counts": named(torch.tensor(counts), "i32")},
                      {"length": length, "padding": padding}))

letters = {c.encode(): (i, 10) for i, c in enumerate("abcd")}
add("fewest pieces", ["Plain"], [b"abcd", b"dab", b"aaaa", b"c"], {**letters, b"ab": (10, 10), b"abc": (11, 10), b"bcd": (12, 10), b"aa": (13, 10)})
add("costs", ["Costs"], [b"abab", b"abcab"], {**letters, b"ab": (10, 7), b"abab": (11, 15), b"abc": (12, 30)})
add("ties", ["Tie"], [b"abc", b"abcd", b"aaa"], {**letters, b"ab": (10, 10), b"bc": (11, 10), b"cd": (12, 10), b"aa": (13, 10)})
add("cut off", ["Cut"], [b"abcdabcdab", b"abc"], letters, length=3, padding=99)
add("not spelled", ["None"], [b"xyz", b"", b"ax", b"a"], letters)
add("bytes", ["Bytes"], [bytes([0, 255, 128]), bytes([255, 0])], {bytes([0]): (1, 1), bytes([255]): (2, 1), bytes([128]): (3, 1), bytes([0, 255]): (4, 1)})
write("surfaceForms", notes, cases)
