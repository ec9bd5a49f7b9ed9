"""Vectors for splitMinSum, made by trying every a and b in Python's integers. Writes ../splitMinSum.json."""
import json, math, pathlib, platform

def word(v):
    return "%08x" % v

def best(n):
    """Least a + b + c with n = ab + c; of equals a product before none, then the least a + b."""
    found = None
    for a in range(1, math.isqrt(n) + 1):
        # For small n every b, for large ones the two largest: fewer cost a - 1 more each.
        for b in range(a, n // a + 1) if n < 3000 else range(max(a, n // a - 1), n // a + 1):
            c = n - a * b
            entry = (a + b + c, a + b, a, b, c)
            if found is None or entry < found:
                found = entry
    if found is None or n < found[0]:
        return 0, 0, n, n
    return found[2], found[3], found[4], found[0]

def case(name, flags, numbers):
    splits = [best(n) for n in numbers]
    tensor = lambda values: {"dtype": "u32", "shape": [len(numbers)], "bits": [word(v) for v in values]}
    outputs = {key: tensor([s[i] for s in splits]) for i, key in enumerate(["a", "b", "c", "sum"])}
    return {"name": name, "op": "splitMinSum", "flags": flags, "options": {}, "inputs": {"n": tensor(numbers)}, "outputs": outputs}

# Where b = floor(n / a) over the published interval for a, open or closed, misses the best.
misses = [128, 129, 162, 163, 164, 200, 201, 202, 203, 512, 882, 883, 968, 969, 970, 971, 2048, 2049, 2888, 2889, 2890]
cases = [
    case("the first numbers", ["Small"], list(range(0, 151))),
    case("outside of the published interval", ["Interval"], misses),
    case("numbers of several sizes", ["Large"], [1009, 2047, 8192, 8460, 10007, 65537, 100003, 999983, 1000003, 10**9 + 7, 2**31 - 1, 2**31, 2**32 - 1, 65535**2, 65535**2 - 1, 65535 * 65536]),
    case("no numbers", ["Small"], []),
]
notes = {"Small": "0 to 3 have no product worth its price", "Interval": "an a below sqrt(n/2), or the end of the interval",
         "Large": "squares near 2^32 overflow"}
out = {"op": "splitMinSum", "source": f"Python {platform.python_version()}, integers, by brute force", "notes": notes, "cases": cases}
path = pathlib.Path(__file__).parent.parent / "splitMinSum.json"
path.write_text(json.dumps(out, indent=1) + "\n")
print(path.name, len(cases), "cases")
