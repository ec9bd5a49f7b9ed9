"""PyTorch and NumPy on this machine's CPU, for the report: python pytorch.py [threads] > pytorch.json

Prints JSON for `npm run bench -- --context pytorch.json`. Shapes are named as in the benchmarks.
"""
import json
import sys
import time

import numpy as np
import torch

threads = int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads()
torch.set_num_threads(threads)
torch.manual_seed(0)
rows = []


def measure(op, shape, run, about="", least=7, seconds=5.0):
    """Median of at least 7 runs, or of what fits into the time; two runs before are not counted."""
    run()
    run()
    times = []
    started = time.perf_counter()
    while len(times) < least or (len(times) < 25 and time.perf_counter() - started < 1):
        before = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - before[0], time.process_time() - before[1]))
        if time.perf_counter() - started > seconds and len(times) >= 3:
            break
    wall, cpu = np.median(np.array(times) * 1e3, axis=0)
    rows.append({"op": op, "shape": shape, "ms": float(wall), "cpuMs": float(cpu), "n": len(times), "about": about})


with torch.inference_mode():
    for n in (256, 512, 1024, 2048):
        a, b = torch.rand(n, n) - 0.5, torch.rand(n, n) - 0.5
        measure("matmul", f"{n}^3", lambda: a @ b, "torch.matmul")

    for r, d in ((1568, 512), (98, 512)):
        x = torch.rand(r, d) - 0.5
        up, gate, down = (torch.nn.Linear(d, d) for _ in range(3))
        measure("gatedFfn", f"[{r}, {d}]", lambda: down(up(x) * torch.relu(gate(x))), "torch.nn.Linear")

    for outer in (256, 32):
        x = torch.rand(outer, 2048, 64)
        shape = f"[{outer}, 2048, 64] axis 1"
        measure("cummax", shape, lambda: torch.cummax(x, 1), "torch.cummax")
        measure("cummax", shape, lambda: torch.cumsum(x, 1), "torch.cumsum instead")
        y = x.numpy()
        measure("cummax", shape, lambda: np.maximum.accumulate(y, axis=1), "numpy.maximum.accumulate, no indices")

    for n, k in ((1_000_000, 8192), (100_000, 1024)):
        x = torch.rand(n)
        noise = torch.rand(n)
        measure("topK", f"[{n}] k {k}", lambda: torch.topk(x, k), "torch.topk")
        measure("gumbelTopK", f"[{n}] k {k}", lambda: torch.topk(x + noise, k), "noise given")
        measure(
            "gumbelTopK",
            f"[{n}] k {k}",
            lambda: torch.topk(x - torch.log(-torch.log(torch.rand(n))), k),
            "noise drawn, f32 logarithms",
        )

    for n in (10_000_000, 1_000_000):
        measure("randomBits", f"[{n}]", lambda: torch.randint(-(2**31), 2**31, (n,), dtype=torch.int32), "torch.randint, another generator")
        measure("gumbelNoise", f"[{n}]", lambda: -torch.log(-torch.log(torch.rand(n))), "f32 logarithms")

print(
    json.dumps(
        {
            "program": "PyTorch",
            "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": sys.version.split()[0]},
            "threads": threads,
            "rows": rows,
        },
        indent=1,
    )
)
