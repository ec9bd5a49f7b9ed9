"""FAISS on the data of bench/hierarchicalAnn.bench.ts: python faiss_ivf.py [threads] > faiss.json

Prints JSON for `npm run bench -- --context faiss.json`: milliseconds for all queries, and recall at k against exact search.
"""
import json
import sys
import time

import faiss
import numpy as np

from data import word_like

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
faiss.omp_set_num_threads(threads)
count, dim, queries, k, lists = 200_000, 64, 16, 8192, 2048
base = word_like(count, dim, 1000, 21, 22)
q = word_like(queries, dim, 1000, 21, 32)
rows = []


def measure(run, least=7):
    """Medians of the clock and of CPU time, in ms."""
    run()
    times = []
    for _ in range(least):
        before = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - before[0], time.process_time() - before[1]))
    wall, cpu = np.median(np.array(times) * 1e3, axis=0)
    return {"ms": float(wall), "cpuMs": float(cpu)}


flat = faiss.IndexFlatIP(dim)
flat.add(base)
_, exact = flat.search(q, k)
shape = f"[{count}, {dim}] {queries} queries k {k}"
rows.append(
    {"op": "hierarchicalAnnSearch", "shape": f"{shape} flat", **measure(lambda: flat.search(q, k)), "about": "IndexFlatIP"}
)

index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
before = time.perf_counter(), time.process_time()
index.train(base)
index.add(base)
built = {"ms": (time.perf_counter() - before[0]) * 1e3, "cpuMs": (time.process_time() - before[1]) * 1e3}
rows.append(
    {"op": "hierarchicalAnn", "shape": f"[{count}, {dim}] lists {lists}", **built, "about": "IndexIVFFlat: train and add"}
)
for nprobe in (256, 512, 1024):
    index.nprobe = nprobe
    times = measure(lambda: index.search(q, k))
    _, found = index.search(q, k)
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), exact.tolist())])
    rows.append(
        {
            "op": "hierarchicalAnnSearch",
            "shape": f"{shape} lists {lists} nprobe {nprobe}",
            **times,
            "about": f"IndexIVFFlat, recall {recall:.4f}",
        }
    )

index.nprobe = 512
rows.append(
    {
        "op": "hierarchicalAnnSearch",
        "shape": f"[{count}, {dim}] 1 query k {k} lists {lists} nprobe 512",
        **measure(lambda: index.search(q[:1], k), 31),
        "about": "IndexIVFFlat, a query alone",
    }
)

print(
    json.dumps(
        {
            "program": f"FAISS, {threads} thread{'s' if threads > 1 else ''}",
            "versions": {"faiss": faiss.__version__, "numpy": np.__version__, "python": sys.version.split()[0]},
            "threads": threads,
            "rows": rows,
        },
        indent=1,
    )
)
