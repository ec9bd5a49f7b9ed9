"""Vectors for adamW, made by torch.optim. Run with a Python that has torch; writes ../adamW.json."""
import json, pathlib, struct
import torch

CODES = {"f32": ("<f", "<I", "%08x"), "f64": ("<d", "<Q", "%016x")}

def named(t):
    dtype = {torch.float32: "f32", torch.float64: "f64"}[t.dtype]
    code, word, form = CODES[dtype]
    bits = [form % struct.unpack(word, struct.pack(code, v))[0] for v in t.flatten().tolist()]
    return {"dtype": dtype, "shape": list(t.shape), "bits": bits}

notes = {
    "Decoupled": "AdamW shrinks the parameter before the step; Adam adds the decay to the gradient, so that it reaches m and v",
    "Correction": "both means start at zero; the corrections by 1 - beta^step matter most in the first steps",
    "Eps": "eps stands outside of the root, after the correction; inside of it, small gradients give other steps",
    "Zero": "a gradient of zero still moves the parameter by the old mean, and decays it",
    "Size": "gradients from 1e-12 to 1e6",
    "Wide": "f64 in, f64 out",
}
cases = []
def run(name, flags, make, settings, steps, shape, dtype=torch.float32, keep=None):
    gen = torch.Generator().manual_seed(len(cases) + 1)
    x = torch.randn(shape, generator=gen, dtype=torch.float64).to(dtype).requires_grad_(True)
    kind = torch.optim.AdamW if settings["decoupled"] else torch.optim.Adam
    opt = kind([x], lr=settings["lr"], betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"],
               weight_decay=settings["weightDecay"], foreach=False, fused=False)
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, steps + 1):
        before = x.detach().clone()
        g = make(shape, gen, step).to(dtype)
        x.grad = g.clone()
        opt.step()
        state = opt.state[x]
        after = {"param": named(x.detach()), "m": named(state["exp_avg"]), "v": named(state["exp_avg_sq"])}
        if keep is None or step in keep:
            case = {"name": f"{name}, step {step}", "op": "adamW", "flags": flags, "options": {"step": step, **settings},
                    "inputs": {"param": named(before), "grad": named(g), "m": named(m.detach()), "v": named(v.detach())},
                    "outputs": after}
            if dtype == torch.float64:
                case["tolerance"] = {"absolute": 1e-13, "why": "f64 on both sides, in another order of operations"}
            cases.append(case)
        m, v = state["exp_avg"].clone(), state["exp_avg_sq"].clone()

plain = lambda shape, gen, step: torch.randn(shape, generator=gen, dtype=torch.float64)
def sizes(shape, gen, step):
    return plain(shape, gen, step) * 10.0 ** (torch.arange(torch.Size(shape).numel()).reshape(shape) % 19 - 12)
def sparse(shape, gen, step):
    g = plain(shape, gen, step)
    g[(torch.arange(g.numel()).reshape(g.shape) + step) % 3 != 0] = 0
    return g

adam = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weightDecay": 0.0, "decoupled": False}
run("the seed's Adam", ["Correction"], plain, adam, 3, [5, 7])
run("Adam with weight decay", ["Decoupled"], plain, {**adam, "weightDecay": 0.1, "lr": 0.01}, 2, [4, 5])
run("AdamW", ["Decoupled", "Correction"], plain, {**adam, "decoupled": True, "weightDecay": 0.1, "lr": 0.01}, 2, [4, 5])
run("gradients of all sizes", ["Size", "Eps"], sizes, {**adam, "eps": 1e-3}, 2, [38])
run("sparse gradients", ["Zero"], sparse, {**adam, "decoupled": True, "weightDecay": 0.01}, 4, [9], keep=(3, 4))
run("no momentum", ["Correction"], plain, {**adam, "beta1": 0.0, "beta2": 0.0, "eps": 1e-6}, 2, [6])
run("late", ["Correction"], plain, adam, 1000, [6], keep=(1000,))
run("a scalar", ["Zero"], plain, adam, 2, [])
run("double precision", ["Wide"], plain, {**adam, "decoupled": True, "weightDecay": 0.05}, 3, [11], dtype=torch.float64, keep=(3,))
out = {"op": "adamW", "source": f"torch {torch.__version__}, torch.optim.Adam and AdamW, CPU", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "adamW.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
