"""Vectors for gumbelNoise: bits by JAX, the formula by mpmath with 60 digits. Writes ../gumbelNoise.json."""
import json, pathlib, struct
import jax, mpmath, numpy as np
import jax.random as jr

jax.config.update("jax_enable_x64", True)
assert jax.config.jax_threefry_partitionable
mpmath.mp.dps = 60
here = pathlib.Path(__file__).parent.parent

def f32(values, shape):
    return {"dtype": "f32", "shape": list(shape), "bits": ["%08x" % struct.unpack("<I", struct.pack("<f", float(v)))[0] for v in values]}

def noise(key, n):
    # The 64-bit words of JAX are (a, b); the 32-bit words are a xor b; the second word is b.
    wide = np.asarray(jr.bits(key, (n,), dtype=np.uint64))
    first = np.asarray(jr.bits(key, (n,), dtype=np.uint32))
    second = (wide & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    assert np.array_equal(first, (wide >> np.uint64(32)).astype(np.uint32) ^ second)
    out = []
    for a, b in zip(first.tolist(), second.tolist()):
        u = (mpmath.mpf(a) * 2**32 + b + mpmath.mpf(1) / 2) / mpmath.mpf(2) ** 64
        out.append(-mpmath.log(-mpmath.log(u)))
    return out

notes = {
    "Formula": "-log(-log(u)) of a 64-bit u, rounded to f32; the sign of either logarithm matters",
    "Bits": "u comes from randomBits of the same key: the high word is that, the low word the second word of the block",
    "Range": "some elements of each sign and size",
}
cases = []
for name, seed, n in [("seed 0", 0, 64), ("seed 42", 42, 1000), ("a seed above 2^32", 2**40 + 5, 300), ("no element", 3, 0)]:
    key = jr.PRNGKey(seed)
    values = noise(key, n)
    ulp = max([2.0 ** (np.floor(np.log2(abs(float(v)))) - 23) for v in values] + [0])
    cases.append({"name": name, "op": "gumbelNoise", "flags": ["Formula", "Bits", "Range"],
                  "options": {"key": [int(w) for w in np.asarray(key)], "shape": [n]}, "inputs": {},
                  "outputs": {"noise": f32(values, [n])},
                  "tolerance": {"absolute": float(ulp + 1.2e-7), "why": "half an ulp of rounding on either side and 1.2e-7, at the largest element"}})
out = {"op": "gumbelNoise", "source": f"jax {jax.__version__} (bits), mpmath {mpmath.__version__} (formula)", "notes": notes, "cases": cases,
       "jaxGumbel": {"key": [0, 42], "about": "jax.random.gumbel of the same key, f32: the same u, cut to 23 bits",
                     "values": f32(np.asarray(jr.gumbel(jr.PRNGKey(42), (1000,), dtype=np.float32)).tolist(), [1000])}}
(here / "gumbelNoise.json").write_text(json.dumps(out, indent=1) + "\n")
print(len(cases), "cases")
