"""FAISS on the words of `node bench/ann/main.ts prepare DIR`, one query at a time, one thread:

    python bench/ann/peers.py DIR RESULTS.json

adds its rows to the results of `node bench/ann/main.ts time`. The trained index is kept in DIR.
"""
import json
import os
import sys
import time

import faiss
import numpy as np

folder, results = sys.argv[1:3]
faiss.omp_set_num_threads(1)


def read(name, dtype):
    rows, columns = np.fromfile(os.path.join(folder, name), dtype=np.uint32, count=2)
    return np.fromfile(os.path.join(folder, name), dtype=dtype, offset=8).reshape(rows, columns)


base, queries, truth = read("base.fbin", np.float32), read("query.fbin", np.float32), read("truth.ibin", np.int32)
k, dim = truth.shape[1], base.shape[1]
with open(os.path.join(folder, "meta.json")) as file:
    lists = json.load(file)["lists"]
file = os.path.join(folder, "faiss.ivf")
if os.path.exists(file):
    index = faiss.read_index(file)
else:
    before = time.perf_counter()
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(base)
    index.add(base)
    print("built in", time.perf_counter() - before, file=sys.stderr)
    faiss.write_index(index, file)
if results == "-":
    sys.exit()
rows = []


def measure(name, setting, search):
    times, recalls = [], []
    search(queries[:1])
    for query, want in zip(queries, truth):
        before = time.perf_counter()
        _, ids = search(query[None])
        times.append((time.perf_counter() - before) * 1e3)
        recalls.append(len(set(ids[0].tolist()) & set(want.tolist())) / k)
    rows.append(
        {
            "name": name,
            "setting": setting,
            "ms": float(np.median(times)),
            "recall": float(np.mean(recalls)),
            "least": min(recalls),
        }
    )
    print(rows[-1], file=sys.stderr)


flat = faiss.IndexFlatIP(dim)
flat.add(base)
measure("FAISS, flat", None, lambda q: flat.search(q, k))
for nprobe in (64, 128, 256, 512, 1024):
    if nprobe > lists:
        continue
    index.nprobe = nprobe
    measure("FAISS, lists", nprobe, lambda q: index.search(q, k))
with open(results) as file:
    figures = json.load(file)
figures["rows"] = [row for row in figures["rows"] if not row["name"].startswith("FAISS")] + rows
figures["versions"]["faiss"] = faiss.__version__
with open(results, "w") as file:
    json.dump(figures, file, indent=1)
    file.write("\n")
