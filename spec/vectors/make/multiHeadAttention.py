"""Vectors for multiHeadAttention, made by PyTorch's scaled_dot_product_attention in f64 and rounded once."""
import torch
from lib import case, named, write

torch.manual_seed(11)
notes = {"Plain": "every query sees every key", "Causal": "a query sees no key after it", "Cross": "more keys than queries",
         "Masked": "keys that nobody sees; each query sees one at least", "Scale": "a scale of its own"}
cases = []

def add(name, flags, items, queries, keys, width, heads, causal=False, masked=False, scale=None):
    q, k, v = torch.randn(items, queries, width), torch.randn(items, keys, width), torch.randn(items, keys, width)
    mask = torch.ones(items, keys, dtype=torch.bool)
    if masked:
        mask = torch.rand(items, keys) < 0.6
        mask[:, 0] = True
    seen = mask[:, None, None, :].expand(items, 1, queries, keys)
    if causal:
        seen = seen & torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    split = lambda t: t.reshape(items, t.shape[1], heads, width // heads).transpose(1, 2)
    q64, k64, v64 = (t.double().requires_grad_(True) for t in (q, k, v))
    y = torch.nn.functional.scaled_dot_product_attention(split(q64), split(k64), split(v64), attn_mask=seen, scale=scale)
    y = y.transpose(1, 2).reshape(items, queries, width)
    s = split(q64) @ split(k64).transpose(-1, -2) * (scale or (width // heads) ** -0.5)
    lse = torch.logsumexp(s.masked_fill(~seen, float("-inf")), -1).transpose(1, 2)
    options = {"heads": heads, "causal": causal, **({"scale": scale} if scale else {})}
    given = {"q": q, "k": k, "v": v, **({"mask": named(mask.int(), "u32")} if masked else {})}
    cases.append(case("multiHeadAttention", name, flags, given, {"y": y.float(), "lse": lse.float()}, options))
    dy = torch.randn(y.shape)
    dq, dk, dv = torch.autograd.grad(y, (q64, k64, v64), dy.double())
    cases.append(case("multiHeadAttentionBackward", name + ", gradient", flags, {"dy": dy, **given, "y": y.float(), "lse": lse.float()},
                      {"dq": dq.float(), "dk": dk.float(), "dv": dv.float()}, options))

add("one head", ["Plain"], 2, 3, 3, 4, 1)
add("three heads", ["Plain"], 1, 5, 5, 6, 3)
add("causal", ["Causal"], 2, 6, 6, 4, 2, causal=True)
add("causal, cross", ["Causal", "Cross"], 1, 3, 7, 4, 2, causal=True)
add("cross", ["Cross"], 1, 2, 9, 5, 1)
add("masked", ["Masked"], 3, 4, 6, 4, 2, masked=True)
add("all of it", ["Masked", "Causal", "Cross", "Scale"], 2, 4, 6, 6, 3, causal=True, masked=True, scale=0.9)
write("multiHeadAttention", notes, cases)
