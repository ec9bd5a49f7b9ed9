"""Vectors for dropout: the words by JAX, the products by NumPy in f32."""
import json, pathlib, struct
import jax, numpy as np
import jax.random as jr

jax.config.update("jax_enable_x64", True)
here = pathlib.Path(__file__).parent.parent

def named(a):
    a = np.asarray(a, dtype=np.float32)
    return {"dtype": "f32", "shape": list(a.shape), "bits": ["%08x" % w for w in a.flatten().view(np.uint32).tolist()]}

notes = {"Plain": "usual shares", "Ends": "nothing dropped, nearly everything dropped", "Shape": "the counter runs over all axes"}
cases = []
rng = np.random.default_rng(1)
for name, flag, seed, p, shape in (
    ("p 0", "Ends", 1, 0.0, (9,)), ("p 0.1", "Plain", 2, 0.1, (40,)), ("p 0.5", "Plain", 3, 0.5, (33,)),
    ("p 0.9", "Ends", -1, 0.9, (50,)), ("three axes", "Shape", 2**40 + 3, 0.3, (2, 3, 7)), ("no element", "Shape", 5, 0.3, (0,)),
):
    k = jr.PRNGKey(seed)
    keep = np.asarray(jr.bits(k, shape, dtype=np.uint32)).astype(np.uint64) >= round(p * 2**32)
    scale = np.float32(2**32 / (2**32 - round(p * 2**32)))
    thin = lambda x: np.where(keep, x * scale, np.float32(0))
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    options = {"p": p, "key": [int(w) for w in np.asarray(k).flatten()]}
    cases.append({"name": name, "op": "dropout", "flags": [flag], "options": options, "inputs": {"x": named(x)}, "outputs": {"y": named(thin(x))}})
    cases.append({"name": name + ", gradient", "op": "dropoutBackward", "flags": [flag], "options": options, "inputs": {"dy": named(dy)}, "outputs": {"dx": named(thin(dy))}})
source = f"jax {jax.__version__} (words), numpy {np.__version__}"
(here / "dropout.json").write_text(json.dumps({"op": "dropout", "source": source, "notes": notes, "cases": cases}, indent=1) + "\n")
print(len(cases), "cases")
