"""Vectors for maxState, made by PyTorch. Run with a Python that has torch; writes ../maxState.json."""
import json, math, pathlib, struct
import torch

def bits(t, dtype):
    code = {"f32": "<f", "i32": "<i", "u32": "<I"}[dtype]
    return ["%08x" % struct.unpack("<I", struct.pack(code, v))[0] for v in t.flatten().tolist()]

def named(t, dtype="f32"):
    return {"dtype": dtype, "shape": list(t.shape), "bits": bits(t, dtype)}

def forward(abc, alphas, carry, mask, reset, cap):
    """Position by position with torch.cummax over what each position may see: slow and plain."""
    B, T, W = abc.shape
    a, b, c = abc.split(W // 3, dim=2)
    rows = []
    states = []
    final = carry
    for n in range(B):
        seen = [carry[n]] if carry is not None else []
        outs = []
        for t in range(T):
            if t % 16 == 0:
                states.append(seen)
            if reset is not None and reset[n, t]:
                seen = []
            if mask is None or mask[n, t]:
                seen = seen + [c[n, t]]
            m = torch.cummax(torch.stack(seen), 0).values[-1] if seen else torch.zeros(W // 3)
            m = torch.where(torch.isinf(m), torch.zeros_like(m), m)
            m = m if cap is None or not seen else m.clamp(max=cap)
            outs.append(alphas[0] * b[n, t] + alphas[1] * m + alphas[2] * a[n, t] + alphas[3] * c[n, t]
                        + (a[n, t] + b[n, t] + c[n, t]) * m + alphas[4] * m)
        rows.append((torch.stack(outs) if outs else torch.zeros(0, W // 3), seen))
    def top(seen):
        return torch.cummax(torch.stack(seen), 0).values[-1] if seen else torch.full((W // 3,), -math.inf)
    y = torch.stack([r for r, _ in rows])
    out = torch.stack([top(seen) for _, seen in rows])
    kept = torch.stack([top(s) for s in states]).reshape(B, -1, W // 3) if states else torch.zeros(B, 0, W // 3)
    return y, out, kept

notes = {
    "Golden": "one channel by hand: y = 10.75, -3, 11.75",
    "Plain": "random data",
    "Carry": "a maximum from before joins in, and carryOut has a gradient",
    "Mask": "masked positions are passed over and still give an output; those in front see m = 0",
    "Reset": "a document begins: the state before it is forgotten",
    "Tie": "equal values of c: the latest takes the maximum, and its whole gradient",
    "Period": "longer than the 16 positions between saved states",
    "Size": "smallest sizes",
    "Cap": "m counts as the cap where it is above it, and then has no gradient; the state is not touched",
}
cases = []

def add(name, flags, abc, alphas, carry=None, mask=None, reset=None, cap=None):
    abc = abc.clone().requires_grad_(True)
    alphas = alphas.clone().requires_grad_(True)
    if carry is not None:
        carry = carry.clone().requires_grad_(True)
    y, out, states = forward(abc, alphas, carry, mask, reset, cap)
    options = {} if cap is None else {"cap": cap}
    optional = {}
    if mask is not None: optional["mask"] = named(mask, "u32")
    if reset is not None: optional["reset"] = named(reset, "u32")
    cases.append({"name": name, "op": "maxState", "flags": flags, "options": options,
                  "inputs": {"abc": named(abc), "alphas": named(alphas), **optional,
                             **({"carryIn": named(carry)} if carry is not None else {})},
                  "outputs": {"y": named(y), "carryOut": named(out), "states": named(states)}})
    dy = (torch.arange(y.numel(), dtype=torch.float32).reshape(y.shape) % 7) - 2.5
    dout = torch.arange(out.numel(), dtype=torch.float32).reshape(out.shape) + 1
    leaves = [abc, alphas] + ([carry] if carry is not None else [])
    loss = (y * dy).sum() + (torch.where(torch.isinf(out), torch.zeros_like(out), out) * dout).sum()
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    grads = [torch.zeros_like(l) if g is None else g for g, l in zip(grads, leaves)]
    outputs = {"dabc": named(grads[0]), "dAlphas": named(grads[1])}
    if carry is not None: outputs["dCarryIn"] = named(grads[2])
    cases.append({"name": name + ", gradient", "op": "maxStateBackward", "flags": flags, "options": options,
                  "inputs": {"dy": named(dy), "abc": named(abc), "alphas": named(alphas), "states": named(states),
                             **optional, "dCarryOut": named(dout)},
                  "outputs": outputs})

half = torch.full((5,), 0.5)
mixed = torch.tensor([0.5, 0.25, -0.75, 1.0, 0.125])
golden = torch.tensor([[[1, 0.5, 2], [-2, 1, -1], [0.5, -1, 3]]], dtype=torch.float32)
add("one channel by hand", ["Golden"], golden, half)
torch.manual_seed(11)
add("random", ["Plain"], torch.randn(2, 5, 6), mixed)
add("one position, one channel", ["Size"], torch.randn(1, 1, 3), mixed)
add("four channels", ["Plain"], torch.randn(2, 6, 12), mixed)
ties = lambda *s: torch.randint(-2, 3, s).float()
add("ties", ["Tie"], ties(2, 7, 12), mixed)
add("ties with a carry", ["Tie", "Carry"], ties(2, 7, 6), mixed, carry=ties(2, 2))
add("carry above everything", ["Carry"], torch.randn(1, 4, 6), mixed, carry=torch.full((1, 2), 9.0))
left = torch.tensor([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 0]])
add("padding on the left", ["Mask"], torch.randn(2, 6, 6) - 2, mixed, mask=left)
add("everything masked", ["Mask"], torch.randn(1, 3, 6), mixed, mask=torch.zeros(1, 3, dtype=torch.int64))
starts = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 0, 0]])
add("packed documents", ["Reset"], torch.randn(2, 6, 6), mixed, reset=starts)
add("packed documents, carry, mask, ties", ["Reset", "Mask", "Carry", "Tie"], ties(2, 6, 12), mixed,
    carry=ties(2, 4), mask=left, reset=starts)
long = torch.randn(1, 37, 6)
long[:, 20:, :] -= 6  # nothing takes over in the last period
add("past two saved states", ["Period"], long, mixed, carry=torch.zeros(1, 2))
add("17 positions with a reset at 16", ["Period", "Reset"], ties(1, 17, 3), mixed,
    reset=(torch.arange(17) == 16).long().reshape(1, 17))
torch.manual_seed(12)
add("a cap", ["Cap", "Plain"], torch.randn(2, 6, 12), mixed, cap=0.75)
add("a cap, ties with it, carry, mask, reset", ["Cap", "Tie", "Carry", "Mask", "Reset"], ties(2, 6, 6), mixed,
    carry=ties(2, 2), mask=left, reset=starts, cap=1.0)
add("a cap below everything", ["Cap"], torch.randn(1, 4, 6), mixed, cap=-4.0)
out = {"op": "maxState", "source": f"torch {torch.__version__}, CPU, f32", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "maxState.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
