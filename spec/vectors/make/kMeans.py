"""Vectors for kMeans, made by NumPy in f64 with the plainest possible code. Writes ../kMeans.json."""
import json, pathlib, struct
import numpy as np

def bits(a, dtype):
    code = {"f32": "<f", "i32": "<i"}[dtype]
    return ["%08x" % struct.unpack("<I", struct.pack(code, v))[0] for v in a.flatten().tolist()]

def named(a, dtype):
    return {"dtype": dtype, "shape": list(a.shape), "bits": bits(a, dtype)}

notes = {
    "Tie": "equal distances go to the lowest centroid",
    "Step": "one iteration: the means of the first assignment, then the assignment to them",
    "Spherical": "directions: a mean of the points themselves instead of their directions fails",
    "Zero": "a zero point has the same distance to every direction",
    "Size": "smallest sizes",
    "Offset": "all points far from the origin: |x|^2 - 2 x.c + |c|^2 cancels, (x - c)^2 does not",
}
cases = []

def distances(x, c, metric):
    if metric == "l2":
        return ((x[:, None, :] - c[None, :, :]) ** 2).sum(2)
    length = np.linalg.norm(x, axis=1)
    unit = np.divide(x, length[:, None], out=np.zeros_like(x), where=length[:, None] > 0)
    return 1 - unit @ c.T

def add(name, flags, x, c, iterations, metric="l2"):
    x = x.astype(np.float32)
    c = c.astype(np.float32)
    first = c
    x64, c64 = x.astype(np.float64), c.astype(np.float64)
    inertia = []
    for t in range(iterations + 1):
        D = distances(x64, c64, metric)
        a = D.argmin(1)
        inertia.append(D[np.arange(len(x)), a].sum())
        if t == iterations:
            break
        for j in range(len(c)):
            own = x64[a == j]
            assert len(own) > 0, "an empty cluster: its restart depends on the generator"
            if metric == "l2":
                m = own.mean(0)
            else:
                s = (own / np.linalg.norm(own, axis=1, keepdims=True)).sum(0)
                m = s / np.linalg.norm(s)
            c64[j] = m
        c64 = c64.astype(np.float32).astype(np.float64)
    counts = np.bincount(a, minlength=len(c))
    cases.append({"name": name, "op": "kMeans", "flags": flags,
                  "options": {"k": len(c), "iterations": iterations, "metric": metric},
                  "inputs": {"points": named(x, "f32"), "initialCentroids": named(first, "f32")},
                  "outputs": {"centroids": named(c64.astype(np.float32), "f32"), "assignments": named(a.astype(np.int32), "i32"),
                              "counts": named(counts.astype(np.int32), "i32"),
                              "inertia": named(np.array(inertia, dtype=np.float32), "f32")}})

r = np.random.default_rng(7)
add("one point, one centroid", ["Size"], np.array([[3.0, -1.0]]), np.array([[0.0, 0.0]]), 0)
add("ties in a grid of integers", ["Tie"], np.array([[a, b] for a in range(-2, 3) for b in range(-2, 3)], dtype=float),
    np.array([[-1, 0], [1, 0], [0, -1], [0, 1], [1, 0]], dtype=float), 0)
add("one step over integers", ["Step", "Tie"], r.integers(-4, 5, (40, 3)).astype(float), r.integers(-3, 4, (4, 3)).astype(float), 1)
add("one step, odd sizes", ["Step"], r.standard_normal((53, 7)), r.standard_normal((5, 7)), 1)
add("three steps, well separated", ["Step"], np.repeat(np.eye(4) * 20, 15, 0) + r.standard_normal((60, 4)), np.eye(4) * 15, 3)
add("one step of directions", ["Step", "Spherical"], r.standard_normal((50, 6)) * r.uniform(0.1, 9, (50, 1)),
    (lambda c: c / np.linalg.norm(c, axis=1, keepdims=True))(r.standard_normal((4, 6))), 1, "spherical")
add("a zero point among directions", ["Spherical", "Zero", "Tie"], np.array([[0, 0], [1, 0], [0, 2], [0, 0]], dtype=float), np.eye(2), 0, "spherical")
add("far from the origin", ["Offset"], 1000 + r.standard_normal((40, 4)), 1000 + r.standard_normal((4, 4)), 0)
out = {"op": "kMeans", "source": f"NumPy {np.__version__}, f64", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "kMeans.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
