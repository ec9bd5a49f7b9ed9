"""A small hypernetwork in PyTorch, with the names of src/models/zett: its predictions, a loss, and the gradient of every parameter.
Run with a Python that has torch and safetensors; writes ../zett.safetensors."""
import pathlib
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTH, HIDDEN, INNER, HEADS, LAYERS, LENGTH, EXTRA, LANGUAGES, SOURCE, EPS = 6, 8, 12, 2, 2, 4, 2, 2, 11, 1e-6
torch.manual_seed(31)
torch.set_num_threads(1)
p = {}

def new(name, *shape):
    p[name] = (torch.randn(*shape) * 0.3 + (1.0 if name.endswith("gamma") else 0.0)).requires_grad_(True)

def new_linear(name, to, of):
    new(name + ".weight", to, of)
    new(name + ".bias", to)

def new_norm(name):
    new(name + ".gamma", HIDDEN)
    new(name + ".beta", HIDDEN)

def new_projection(name):
    new_linear(name + ".up", INNER, HIDDEN)
    new_linear(name + ".down", HIDDEN, INNER)
    new_norm(name + ".norm")

new_linear("input", HIDDEN, 2 * WIDTH)
new_projection("projection")
new("positions", LENGTH + LANGUAGES, HIDDEN)
new_norm("norm")
for i in range(LAYERS):
    for part in ("query", "key", "value", "output"):
        new_linear(f"layers.{i}.{part}", HIDDEN, HIDDEN)
    new_norm(f"layers.{i}.attentionNorm")
    new_linear(f"layers.{i}.up", INNER, HIDDEN)
    new_linear(f"layers.{i}.down", HIDDEN, INNER)
    new_norm(f"layers.{i}.norm")
for head in ("inHead", "outHead"):
    new_projection(head + ".projection")
    new_linear(head + ".linear", WIDTH, HIDDEN)
new("extra", EXTRA, 2 * WIDTH)

def linear(x, name):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])

def norm(x, name):
    return F.layer_norm(x, (HIDDEN,), p[name + ".gamma"], p[name + ".beta"], EPS)

def gelu(x):
    return F.gelu(x, approximate="tanh")

def project(x, name):
    return norm(x + gelu(linear(gelu(linear(x, name + ".up")), name + ".down")), name + ".norm")

source_in, source_out = torch.randn(SOURCE, WIDTH) * 2 + 1, torch.randn(SOURCE, WIDTH) - 0.5
def statistics(t):
    return t.mean(0), t.std(0, unbiased=False) + 1e-8
scaled = torch.cat([0.02 * (t - statistics(t)[0]) / statistics(t)[1] for t in (source_in, source_out)], 1)

forms = torch.tensor([[3, -1, -1, -1], [0, 5, -1, -1], [10, 2, 7, 1], [11, -1, -1, -1], [4, 12, 6, -1], [9, 9, -1, -1]])
LANGUAGE = 1
table = torch.cat([scaled, p["extra"]])
seen = forms >= 0
h = table[forms.clamp(min=0)] * seen[..., None]
# The language's place reads no row: like a place of padding, but with a position row of its own, and seen.
h = torch.cat([h, torch.zeros(len(forms), 1, 2 * WIDTH)], 1)
seen = torch.cat([seen, torch.ones(len(forms), 1, dtype=torch.bool)], 1)
places = torch.cat([torch.arange(LENGTH), torch.tensor([LENGTH + LANGUAGE])])
h = norm(project(linear(h, "input"), "projection") + p["positions"][places], "norm")
for i in range(LAYERS):
    split = lambda t: t.reshape(len(forms), LENGTH + 1, HEADS, HIDDEN // HEADS).transpose(1, 2)
    q, k, v = (split(linear(h, f"layers.{i}.{part}")) for part in ("query", "key", "value"))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None, :])
    mixed = mixed.transpose(1, 2).reshape(h.shape)
    h = norm(h + linear(mixed, f"layers.{i}.output"), f"layers.{i}.attentionNorm")
    h = norm(h + linear(gelu(linear(h, f"layers.{i}.up")), f"layers.{i}.down"), f"layers.{i}.norm")
e = h[:, 0]
out = {}
for head, source in (("inHead", source_in), ("outHead", source_out)):
    mean, std = statistics(source)
    out[head[:-4]] = linear(project(e, head + ".projection"), head + ".linear") * std + mean
goal = torch.randn(2, len(forms), WIDTH)
loss = 0.5 * sum(((out[name] - g) ** 2).sum(1).mean() for name, g in zip(("in", "out"), goal))
loss.backward()
tensors = {f"model.{k}": v.detach() for k, v in p.items()} | {f"grad.{k}": v.grad for k, v in p.items()}
tensors |= {"source.in": source_in, "source.out": source_out, "forms": forms.int(), "goal.in": goal[0], "goal.out": goal[1]}
tensors |= {"in": out["in"].detach(), "out": out["out"].detach(), "loss": loss.detach()}
path = pathlib.Path(__file__).parent.parent / "zett.safetensors"
save_file({k: v.contiguous() for k, v in tensors.items()}, str(path), metadata={"source": f"torch {torch.__version__}, CPU, f32, one thread"})
print(path.name, path.stat().st_size, "bytes; loss", float(loss))
