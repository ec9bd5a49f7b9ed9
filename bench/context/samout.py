"""The SamOut model in PyTorch on this machine's CPU, for the report: python samout.py [small|full] [threads] > samout.json

Prints JSON for `npm run bench -- --only samOut --context samout.json`. Sizes and labels are those of bench/samOut.bench.ts.
"""
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

size = sys.argv[1] if len(sys.argv) > 1 else "small"
threads = int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads()
torch.set_num_threads(threads)
torch.manual_seed(0)
V, D, L = (8460, 512, 8) if size == "full" else (1024, 64, 4)
BATCH, LENGTH = 32, 49
about = f"V {V} d {D} L {L}"


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.combined = nn.Linear(D, 3 * D, bias=False)
        self.alphas = nn.Parameter(torch.full((5,), 0.5))
        self.ffn1, self.ffn2, self.gate = (nn.Linear(D, D) for _ in range(3))
        self.norm, self.alpha = nn.LayerNorm(D), nn.Parameter(torch.tensor(0.5))

    def forward(self, x, state=None):
        a, b, c = self.combined(x).chunk(3, dim=-1)
        m = c.cummax(dim=1).values
        if state is not None:
            m = torch.maximum(m, state)
        s = self.alphas
        o = s[0] * b + s[1] * m + s[2] * a + s[3] * c + (a + b + c) * m + s[4] * m
        f = self.ffn2(self.ffn1(o) * F.relu(self.gate(o)))
        return self.norm(self.alpha * f + (1 - self.alpha) * x), m[:, -1:]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.em, self.head = nn.Embedding(V, D, padding_idx=259), nn.Linear(D, V, bias=False)
        self.layers = nn.ModuleList(Layer() for _ in range(L))

    def forward(self, ids, states=None):
        x, after = self.em(ids), []
        for i, layer in enumerate(self.layers):
            y, m = layer(x, None if states is None else states[i])
            x = x + y
            after.append(m)
        return self.head(x), after


rows = []


def measure(shape, run, what):
    run()
    run()
    times = []
    started = time.perf_counter()
    while len(times) < 7 or (len(times) < 25 and time.perf_counter() - started < 5):
        before = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - before[0], time.process_time() - before[1]))
        if time.perf_counter() - started > 30 and len(times) >= 3:
            break
    wall, cpu = torch.tensor(times).mul(1e3).median(0).values.tolist()
    rows.append({"op": "samOut", "shape": shape, "ms": wall, "cpuMs": cpu, "n": len(times), "about": what})


model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
tokens = torch.randint(300, V, (BATCH, LENGTH + 1))


def train():
    logits, _ = model(tokens[:, :-1])
    loss = F.cross_entropy(logits.reshape(-1, V), tokens[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


measure(f"{BATCH} x {LENGTH}, {about}", train, f"training step, {BATCH * LENGTH} tokens")
with torch.inference_mode():
    states = model(torch.randint(300, V, (1, 1000)))[1]

    def generate():
        now, last = states, 300
        for _ in range(8):
            logits, now = model(torch.tensor([[last]]), now)
            last = int(logits.argmax())

    measure(f"1 x 8, {about}", generate, "8 tokens, one after another, with a state")

versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
print(json.dumps({"program": "PyTorch, SamOut", "versions": versions, "threads": threads, "rows": rows}, indent=1))
