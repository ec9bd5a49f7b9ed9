"""Vectors for hierarchicalAnnSearch, made by FAISS: exact search, and IVF with given centroids. Writes ../hierarchicalAnn.json.

FAISS leaves the order of equal scores open, so every case is checked to have none at its edges, but for integer cases,
whose order (score descending, id ascending) NumPy gives.
"""
import json, pathlib, struct
import faiss
import numpy as np

faiss.omp_set_num_threads(1)

def bits(a, dtype):
    code = {"f32": "<f", "i32": "<i"}[dtype]
    return ["%08x" % struct.unpack("<I", struct.pack(code, v))[0] for v in a.flatten().tolist()]

def named(a, dtype):
    return {"dtype": dtype, "shape": list(a.shape), "bits": bits(a, dtype)}

notes = {
    "Flat": "one list: exact search",
    "Ivf": "the lists of the nprobe best centroids, and nothing else",
    "Tie": "equal scores: the lower id first; a kernel that keeps the order of its lists fails",
    "Short": "fewer vectors than k: ids -1, scores -Infinity",
    "L2": "scores are minus the squared distance: higher is better",
    "Cosine": "vectors are stored with length 1, queries are not",
    "Ids": "ids that are not the row numbers",
}
cases = []

def add(name, flags, x, q, k, metric="ip", centroids=None, nprobe=None, ids=None, options=None, by="faiss"):
    x, q = x.astype(np.float32), q.astype(np.float32)
    n, d = x.shape
    ids = np.arange(n, dtype=np.int32) if ids is None else np.sort(ids).astype(np.int32)
    stored = x
    if metric == "cosine":
        stored = (x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)
        q_search = (q / np.linalg.norm(q.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)
    else:
        q_search = q
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    inputs = {}
    if centroids is None:
        order = np.arange(n)
        index = faiss.IndexFlat(d, kind)
        index.add(stored)
    else:
        centroids = centroids.astype(np.float32)
        quantizer = faiss.IndexFlat(d, kind)
        quantizer.add(centroids)
        index = faiss.IndexIVFFlat(quantizer, d, len(centroids), kind)
        index.is_trained = True
        index.add(stored)
        lists = [faiss.rev_swig_ptr(index.invlists.get_ids(i), index.invlists.list_size(i)).copy() for i in range(len(centroids))]
        order = np.concatenate([np.sort(l) for l in lists]).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum([len(l) for l in lists])])
        index.nprobe = nprobe
        inputs["centroids"] = named(centroids, "f32")
        inputs["offsets"] = named(offsets.astype(np.int32), "i32")
    D, I = index.search(q_search, k)
    if by == "numpy":
        S = q.astype(np.float64) @ x.astype(np.float64).T if metric != "l2" else -((q[:, None].astype(np.float64) - x[None]) ** 2).sum(2)
        O = np.argsort(-S, axis=1, kind="stable")[:, :k]
        I, D = O, np.take_along_axis(S, O, 1)
        if metric == "l2": D = -D
    else:
        for scores, there in zip(D, I >= 0):
            assert len(np.unique(scores[there])) == there.sum(), name
    found = I >= 0
    scores = np.where(found, -D if metric == "l2" else D, -np.inf).astype(np.float32)
    counts = found.sum(1).astype(np.int32)
    options = dict(options or {}, k=k, metric=metric)
    if nprobe: options["nprobe"] = nprobe
    cases.append({"name": name, "op": "hierarchicalAnnSearch", "flags": flags, "options": options,
                  "inputs": {"vectors": named(stored[order], "f32"), "order": named(order.astype(np.int32), "i32"),
                             "ids": named(ids, "i32"), **inputs, "queries": named(q, "f32")},
                  "outputs": {"ids": named(np.where(found, ids[np.maximum(I, 0)], -1).astype(np.int32), "i32"),
                              "scores": named(scores, "f32"), "counts": named(counts, "i32")}})

r = np.random.default_rng(3)
x, q = r.standard_normal((60, 8)), r.standard_normal((3, 8))
c = r.standard_normal((6, 8))
add("flat, inner product", ["Flat"], x, q, 10)
add("flat, squared distance", ["Flat", "L2"], x, q, 10, "l2")
add("flat, cosine", ["Flat", "Cosine"], x * r.uniform(0.2, 5, (60, 1)), q * 3, 10, "cosine")
add("flat, more than there are", ["Flat", "Short"], x[:7], q, 10)
add("flat, integers with ties", ["Flat", "Tie"], r.integers(-2, 3, (50, 4)), r.integers(-2, 3, (4, 4)), 12, by="numpy")
add("flat, squared distance, integers with ties", ["Flat", "Tie", "L2"], r.integers(-2, 3, (50, 3)), r.integers(-2, 3, (4, 3)), 12, "l2", by="numpy")
add("flat, ids of their own", ["Flat", "Ids"], x, q, 8, ids=r.choice(10000, 60, replace=False))
add("IVF, two of six lists", ["Ivf"], x, q, 6, centroids=c, nprobe=2)
add("IVF, squared distance", ["Ivf", "L2"], x, q, 5, "l2", centroids=c, nprobe=2)
add("IVF, all lists", ["Ivf"], x, q, 20, centroids=c, nprobe=6)
add("IVF, short rows", ["Ivf", "Short"], x, q, 40, centroids=c, nprobe=1, options={"onShort": "pad"})
out = {"op": "hierarchicalAnn", "source": f"FAISS {faiss.__version__} (ties: NumPy {np.__version__})", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "hierarchicalAnn.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
