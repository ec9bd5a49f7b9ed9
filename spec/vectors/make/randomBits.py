"""Vectors for randomBits and for key derivation, made by JAX. Writes ../randomBits.json and ../key.json."""
import json, pathlib
import jax, numpy as np
import jax.random as jr

jax.config.update("jax_enable_x64", True)
assert jax.config.jax_threefry_partitionable
here = pathlib.Path(__file__).parent.parent
source = f"jax {jax.__version__}, threefry2x32, jax_threefry_partitionable, 64-bit types enabled"

def words(a):
    return [int(w) for w in np.asarray(a).flatten()]

def u32(a):
    a = np.asarray(a)
    return {"dtype": "u32", "shape": list(a.shape), "bits": ["%08x" % w for w in words(a)]}

notes = {
    "Counter": "each element is made from its own 64-bit counter; a generator that cuts the counters into halves (the older scheme of JAX) fails",
    "KeyWords": "both words of the key matter, and all their bits",
    "Shape": "the counter runs row-major over all axes",
    "Size": "no element, one element, an odd number",
}
cases = []
def add(name, flags, seed, shape):
    k = jr.PRNGKey(seed)
    cases.append({"name": name, "op": "randomBits", "flags": flags, "options": {"key": words(k), "shape": list(shape)},
                  "inputs": {}, "outputs": {"bits": u32(jr.bits(k, shape, dtype=np.uint32))}})
add("seed 0, one element", ["Size", "Counter"], 0, (1,))
add("seed 0, an odd number of elements", ["Size", "Counter"], 0, (7,))
add("seed 42", ["Counter"], 42, (300,))
add("no element", ["Size"], 1, (0,))
add("a scalar", ["Size", "Shape"], 5, ())
add("all bits of the key set", ["KeyWords"], -1, (33,))
add("a seed above 2^32", ["KeyWords"], 2**40 + 5, (33,))
add("the smallest seed", ["KeyWords"], -(2**63), (33,))
add("three axes", ["Shape", "Counter"], 7, (3, 5, 11))
(here / "randomBits.json").write_text(json.dumps(
    {"op": "randomBits", "source": source, "notes": notes, "cases": cases}, indent=1) + "\n")

seeds = [0, 1, 42, -1, 2**31, 2**32 - 1, 2**32, 2**40 + 5, 2**53 - 1, -(2**53) + 1, 2**63 - 1, -(2**63)]
keys = [jr.PRNGKey(0), jr.PRNGKey(42), jr.PRNGKey(-1)]
out = {
    "source": source,
    "key": [{"seed": str(s), "key": words(jr.PRNGKey(s))} for s in seeds],
    "split": [{"key": words(k), "n": n, "keys": np.asarray(jr.split(k, n)).tolist()} for k in keys for n in (1, 2, 5)],
    "foldIn": [{"key": words(k), "data": d, "result": words(jr.fold_in(k, d))} for k in keys for d in (0, 1, 7, 2**31, 2**32 - 1)],
}
(here / "key.json").write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
