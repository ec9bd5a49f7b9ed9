"""Vectors for lazyGumbelTopK, by NumPy: every sum is made, in f64, with Threefry written out here. Writes ../lazyGumbelTopK.json."""
import json, pathlib, struct
import numpy as np

def bits(a, dtype):
    code = {"f32": "<f", "i32": "<i"}[dtype]
    return ["%08x" % struct.unpack("<I", struct.pack(code, v))[0] for v in a.flatten().tolist()]

def named(a, dtype):
    return {"dtype": dtype, "shape": list(a.shape), "bits": bits(a, dtype)}

def threefry(key, counter):
    mask = 0xFFFFFFFF
    keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA]
    a, b = (counter[0] + keys[0]) & mask, (counter[1] + keys[1]) & mask
    for group in range(5):
        for r in ([13, 15, 26, 6] if group % 2 == 0 else [17, 29, 16, 24]):
            a = (a + b) & mask
            b = ((b << r | b >> (32 - r)) & mask) ^ a
        a = (a + keys[(group + 1) % 3]) & mask
        b = (b + keys[(group + 2) % 3] + group + 1) & mask
    return a, b

assert threefry((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)) == (0xC4923A9C, 0x483DF7A0)  # the paper's own vector

def exponential(words):
    return -np.log1p(-(words[0] * 2.0**32 + words[1]) * 2.0**-64)

def noise_of(key, offsets):
    """First arrivals of Poisson processes: of rate `count` for a segment of 64 words, each arrival given to one of them."""
    out = np.zeros(offsets[-1])
    for first, last in zip(offsets, offsets[1:]):
        for start in range(first, last, 64):
            count = min(64, last - start)
            times = [None] * count
            time, arrival = 0.0, 1
            while None in times:
                words = threefry(key, (arrival, start))
                time += exponential(words) / count
                if time >= 1: break
                place = ((words[1] & 0xFFFFFF) * count) >> 24
                if times[place] is None: times[place] = time
                arrival += 1
            for place in range(count):
                if times[place] is None: times[place] = 1 + exponential(threefry(key, (0, start + place)))
                out[start + place] = -np.log(times[place])
    return out

notes = {
    "Sample": "the k largest sums of score / temperature + noise, in order, and the next one as the threshold",
    "Noise": "scores are all 0: what comes out is the noise alone",
    "OneList": "one list, no offsets",
    "Ids": "ids that are not the row numbers",
    "Empty": "lists without words",
}
cases = []

def add(name, flags, r, n, d, lists, queries, k, seed, temperature=1.0, scale=1.0, ids=None):
    x = r.standard_normal((n, d)).astype(np.float32)
    q = (scale * r.standard_normal((queries, d))).astype(np.float32)
    ids = np.arange(n) if ids is None else np.sort(ids)
    of = np.sort(r.integers(0, lists, n)) if lists > 1 else np.zeros(n, int)
    order = r.permutation(n)                      # places to rows; within a list rows rise
    offsets = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=lists))]).astype(int).tolist()
    for a, b in zip(offsets, offsets[1:]): order[a:b] = np.sort(order[a:b])
    centres = np.array([x[a:b].mean(0) if b > a else np.zeros(d) for a, b in zip(offsets, offsets[1:])]).astype(np.float32)
    radii = np.array([np.linalg.norm(x[a:b] - c, axis=1).max() * 1.0001 if b > a else 0 for a, b, c in zip(offsets, offsets[1:], centres)]).astype(np.float32)
    key = [seed >> 32, seed & 0xFFFFFFFF]
    out_ids, sums, threshold = [], [], []
    for i in range(queries):
        s = x.astype(np.float64) @ q[i].astype(np.float64) / temperature + noise_of(threefry(key, (0, i)), offsets)
        best = np.argsort(-s)
        assert np.min(-np.diff(s[best])) > 1e-5 or k == n, name
        out_ids.append(ids[order[best[:k]]])
        sums.append(s[best[:k]])
        threshold.append(s[best[k]] if k < n else -np.inf)
    index = {"vectors": named(x, "f32"), "order": named(order, "i32"), "ids": named(ids, "i32")}
    if lists > 1:
        index["centroids"] = named(centres, "f32")
        index["offsets"] = named(np.array(offsets), "i32")
    cases.append({"name": name, "op": "lazyGumbelTopK", "flags": flags,
                  "options": {"k": k, "key": key, "temperature": temperature},
                  "inputs": {**index, "centres": named(centres, "f32"), "radii": named(radii, "f32"), "queries": named(q, "f32")},
                  "outputs": {"ids": named(np.array(out_ids).reshape(queries, k), "i32"),
                              "perturbed": named(np.array(sums).reshape(queries, k), "f32"),
                              "threshold": named(np.array(threshold), "f32")}})

r = np.random.default_rng(11)
add("eight lists", ["Sample"], r, 90, 4, 8, 3, 10, 5, scale=2)
add("long lists, low temperature", ["Sample"], r, 200, 3, 2, 2, 6, 2**33 + 7, temperature=0.25)
add("many lists, some empty", ["Sample", "Empty"], r, 40, 2, 60, 2, 5, 1, scale=3)
add("one list", ["Sample", "OneList"], r, 65, 5, 1, 2, 4, 2, temperature=4)
add("ids of their own", ["Sample", "Ids"], r, 50, 4, 5, 2, 7, 3, ids=r.choice(10000, 50, replace=False))
add("noise alone", ["Noise"], r, 100, 2, 3, 2, 20, 4, scale=0)
out = {"op": "lazyGumbelTopK", "source": f"NumPy {np.__version__}", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "lazyGumbelTopK.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
