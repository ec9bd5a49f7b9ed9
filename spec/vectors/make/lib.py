"""What the vector scripts share: tensors as bit patterns, and the file."""
import json, pathlib, struct
import torch

CODES = {"f32": ("<f", "<I", 8), "f64": ("<d", "<Q", 16), "i32": ("<i", "<I", 8), "u32": ("<I", "<I", 8)}

def named(t, dtype="f32"):
    pack, unpack, digits = CODES[dtype]
    bits = ["%0*x" % (digits, struct.unpack(unpack, struct.pack(pack, v))[0]) for v in t.flatten().tolist()]
    return {"dtype": dtype, "shape": list(t.shape), "bits": bits}

def case(op, name, flags, inputs, outputs, options=None):
    give = lambda d: {k: v if isinstance(v, dict) else named(v) for k, v in d.items()}
    return {"name": name, "op": op, "flags": flags, "options": options or {}, "inputs": give(inputs), "outputs": give(outputs)}

def write(op, notes, cases):
    out = {"op": op, "source": f"torch {torch.__version__}, CPU", "notes": notes, "cases": cases}
    path = pathlib.Path(__file__).parent.parent / f"{op}.json"
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(path.name, len(cases), "cases")
