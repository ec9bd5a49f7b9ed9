"""Vectors for topK, made by NumPy (a stable argsort over the total order) and checked against jax.lax.top_k where JAX
defines the same order (no NaN, no mask). Run with a Python that has both; writes ../topK.json."""
import json, pathlib, struct
import jax
import numpy as np

NAN, INF, MAX, TINY = float("nan"), float("inf"), 3.4028234663852886e38, 2.0 ** -149
CODE = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "u32": np.uint32}

def named(a, dtype):
    a = np.array(a, dtype=CODE[dtype], order="C")
    words = a.reshape(-1).view(np.uint64 if dtype == "f64" else np.uint32)
    return {"dtype": dtype, "shape": list(a.shape), "bits": [("%016x" if dtype == "f64" else "%08x") % int(w) for w in words]}

def top_k(row, k, largest, mask):
    """The first k positions of one row by (number before NaN, value descending, index ascending)."""
    nan = np.isnan(row)
    score = np.where(nan, 0, row if largest else -row) + 0.0   # + 0.0: both zeros compare equal anyway
    order = np.lexsort((np.arange(row.size), -score, nan))
    return [int(t) for t in order if mask is None or mask[t]][:k]

notes = {
    "Tie": "equal values: the smaller index comes first, also at the last place",
    "Nan": "NaN ranks after every number, whether the largest or the smallest are asked for",
    "SignedZero": "-0 equals +0 in the order, and the value keeps its bits",
    "Infinity": "infinities are ordinary values: a finite sentinel hides them",
    "Negative": "negative numbers: their bits fall while the value rises",
    "Subnormal": "subnormals are not zero",
    "Smallest": "largest = false",
    "Mask": "positions with mask 0 are never selected; short rows are padded",
    "Short": "k exceeds the row: index -1, value -Infinity, and counts tells how many there are",
    "Set": "sorted = false: the same set by ascending index",
    "Size": "smallest sizes",
    "Axis": "every axis of a tensor of rank 3, unequal sizes",
    "Double": "f64, whose order f32 does not see",
}
cases = []

def add(name, flags, x, k, axis=-1, largest=True, sort=True, mask=None, short=None, dtype="f32"):
    x = np.asarray(x, dtype=CODE[dtype])
    moved = np.moveaxis(x, axis, -1)
    rows = moved.reshape(int(np.prod(moved.shape[:-1])), moved.shape[-1])
    masks = [None] * len(rows)
    if mask is not None:
        whole = mask if mask.shape == x.shape else np.broadcast_to(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape)
        masks = np.moveaxis(whole, axis, -1).reshape(rows.shape)
    values = np.full((len(rows), k), -INF, dtype=x.dtype)
    indices = np.full((len(rows), k), -1, dtype=np.int32)
    counts = np.zeros(len(rows), dtype=np.int32)
    for r, row in enumerate(rows):
        best = top_k(row.astype(np.float64), k, largest, masks[r])
        if not sort: best = sorted(best)
        counts[r] = len(best)
        indices[r, :len(best)] = best
        values[r, :len(best)] = row[best]
    if mask is None and sort and largest and short is None and not np.isnan(x).any() and dtype == "f32":
        # XLA on the CPU orders -0 below +0, which this operator does not: compare where no zero is signed.
        if not np.signbit(x[x == 0]).any():
            v, i = jax.lax.top_k(np.ascontiguousarray(rows), k)
            assert (np.asarray(i) == indices).all(), name
            assert (np.asarray(v).view(np.uint32) == values.view(np.uint32)).all(), name
    back = lambda a: np.moveaxis(a.reshape(moved.shape[:-1] + (k,)), -1, axis)
    options = {"k": k, "axis": axis}
    if not largest: options["largest"] = False
    if not sort: options["sorted"] = False
    if short: options["onShort"] = short
    inputs = {"x": named(x, dtype)}
    if mask is not None: inputs["mask"] = named(mask, "u32")
    outputs = {"values": named(back(values), dtype), "indices": named(back(indices), "i32"),
               "counts": named(counts.reshape(moved.shape[:-1]), "i32")}
    cases.append({"name": name, "op": "topK", "flags": flags, "options": options, "inputs": inputs, "outputs": outputs})
    dy = ((np.arange(values.size) % 7) + 1).reshape(back(values).shape)
    dx = np.zeros_like(x)
    at = back(indices)
    for place in np.ndindex(at.shape):
        if at[place] >= 0:
            to = list(place)
            to[axis] = at[place]
            dx[tuple(to)] = dy[place]
    cases.append({"name": name + ", gradient", "op": "topKBackward", "flags": flags,
                  "options": {"length": x.shape[axis], "axis": axis},
                  "inputs": {"dValues": named(dy, dtype), "indices": named(at, "i32")}, "outputs": {"dx": named(dx, dtype)}})

add("ties go to the smaller index", ["Tie"], [1, 3, 3, 2, 3], 3)
add("a tie at the last place", ["Tie"], [2, 1, 2, 1, 1, 2], 4)
add("all equal", ["Tie"], [2.5] * 70, 69)
add("NaN ranks last", ["Nan"], [1, NAN, 5, NAN, -INF], 5)
add("NaN ranks last among the smallest", ["Nan", "Smallest"], [1, NAN, 5, NAN, INF], 5, largest=False)
add("only NaN", ["Nan", "Tie"], [NAN] * 5, 3)
add("both zeros are equal", ["SignedZero", "Tie"], [-0.0, 0.0, -0.0, -1, 0.0], 4)
add("both zeros, smallest", ["SignedZero", "Tie", "Smallest"], [0.0, -0.0, 1, 0.0], 3, largest=False)
add("infinities", ["Infinity"], [-INF, MAX, INF, -MAX, -INF, 0], 6)
add("only minus infinity", ["Infinity", "Tie"], [-INF] * 4, 2)
add("negative numbers", ["Negative"], [-1, -3, -2, -2.5, -1.5], 3)
add("both signs, smallest", ["Negative", "Smallest"], [-1, 3, -2, 2.5, 1.5, -4], 4, largest=False)
add("subnormals", ["Subnormal"], [0, TINY, -TINY, 2 * TINY, -2 * TINY], 5)
add("as a set", ["Set", "Tie"], [1, 3, 3, 2, 3, 0], 4, sort=False)
add("a mask", ["Mask", "Tie"], [9, 1, 9, 2, 9, 3], 2, mask=np.array([0, 1, 1, 1, 0, 7]))
add("a mask leaves too few", ["Mask", "Short"], [9, 1, 9, 2, 9, 3], 4, mask=np.array([0, 1, 0, 1, 0, 0]))
add("a mask leaves nothing", ["Mask", "Short"], [[9, 1], [2, 3]], 2, mask=np.array([[0, 0], [1, 0]]))
add("more than there are", ["Short"], [2, 1, 3], 5, short="pad")
add("one element", ["Size"], [-7.25], 1)
add("none wanted", ["Size"], [1, 2], 0)
add("no element", ["Size", "Short"], [], 2, short="pad")
add("f64", ["Double", "Tie"], [1 + 2 ** -40, 1, 1 + 2 ** -50, -1 - 2 ** -40, -1, 1 + 2 ** -40], 6, dtype="f64")
rng = np.random.default_rng(5)
for axis in (0, 1, 2, -1):
    add(f"rank 3, axis {axis}", ["Axis", "Tie"], rng.integers(-3, 4, (3, 5, 4)), 3, axis=axis)
add("rank 3, a mask that stops at the axis", ["Axis", "Mask", "Tie"], rng.integers(-3, 4, (2, 6, 3)), 4, axis=1,
    mask=rng.integers(0, 2, (2, 6)))
add("1200 elements, many ties", ["Tie"], rng.integers(0, 40, 1200), 100)
out = {"op": "topK", "source": f"numpy {np.__version__} lexsort, agreeing with jax {jax.__version__} lax.top_k",
       "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "topK.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
