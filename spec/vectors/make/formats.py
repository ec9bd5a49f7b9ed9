"""Files of the Python packages safetensors and numpy, for spec/safetensors.spec.ts and spec/npy.spec.ts.

Run from the repository root: python spec/vectors/make/formats.py
Writes spec/vectors/formats/*.safetensors, *.npy and formats.json. Each entry of formats.json tells, for every
tensor of a file, the dtype and shape it must be read as and the little-endian bytes of its elements in hex;
`"rewrites": true` means that our writer must give the very same file for these tensors.
"""

import json
import pathlib
import struct

import numpy as np
import safetensors
import safetensors.numpy

OUT = pathlib.Path(__file__).parent.parent / "formats"
files = {}

# Bit patterns that rounding, flushing or quieting would change.
F32 = np.array(
    [0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000,
     0xFFC12345, 0x7F800001, 0xFFBFFFFF, 0x3F800000], dtype="<u4").view("<f4")
F64 = np.array(
    [0, 1 << 63, 1, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000,
     0xFFF8000000012345, 0x7FF0000000000001, 0x3FF0000000000001], dtype="<u8").view("<f8")
HALF = np.array(
    [0x0000, 0x8000, 0x0001, 0x83FF, 0x0200, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0xFE15, 0x7C01, 0x3C00, 0x3555],
    dtype="<u2").view("<f2")


def bits_of_half(h):
    """f32 bits of a half, by arithmetic on the value; NaNs by moving the payload."""
    b = int(h)
    sign = b >> 15
    if (b & 0x7C00) == 0x7C00 and b & 0x3FF:
        return sign << 31 | 0x7F800000 | (b & 0x3FF) << 13
    return struct.unpack("<I", struct.pack("<f", np.array([b], "<u2").view("<f2").astype("<f4")[0]))[0]


def entry(array):
    kind = {"f": "f", "i": "i", "u": "u"}[array.dtype.kind]
    assert array.dtype.byteorder in "<=|" and array.dtype.itemsize in (4, 8)
    name = f"{kind}{array.dtype.itemsize * 8}"
    return {"dtype": name, "shape": list(array.shape), "hex": np.ascontiguousarray(array).tobytes().hex()}


def note(name, tensors, rewrites=False, metadata=None):
    files[name] = {"tensors": {k: entry(v) for k, v in tensors.items()}, "rewrites": rewrites}
    if metadata:
        files[name]["metadata"] = metadata


def keep(name, tensors, metadata=None):
    (OUT / name).write_bytes(safetensors.numpy.save(tensors, metadata=metadata))
    note(name, tensors, rewrites=True, metadata=metadata)


OUT.mkdir(exist_ok=True)
i32 = np.array([[-(2**31), -1, 0], [1, 2, 2**31 - 1]], dtype="<i4")
u32 = np.array([0, 1, 2**31, 2**32 - 1], dtype="<u4")

keep("native.safetensors", {"x": F32.reshape(3, 4), "d": F64, "indices": i32, "u": u32, "values": F32[:5]})
keep("edges.safetensors", {
    "scalar": np.array(1.5, "<f4"), "empty": np.zeros((0, 7), "<f4"), "also empty": np.zeros((3, 0), "<f8"),
    "": np.zeros(1, "<i4"), "__proto__": np.array([7], "<u4"), "constructor": np.array([8], "<u4"),
    "with \"quotes\", \\ and \n\t\x01\x7f": np.zeros(2, "<f4"), "\u4e2d\u6587": np.zeros(1, "<f4"),
    "\uffee": np.zeros(1, "<f4"), "\U0001f600": np.zeros(1, "<f4"), "10": np.zeros(1, "<f4"), "9": np.zeros(1, "<f4"),
}, metadata={"origin": "numpy \u4e2d"})
keep("nothing.safetensors", {})

wide = {
    "f16": HALF, "i64": np.array([-(2**31), -1, 0, 2**31 - 1], "<i8"), "u64": np.array([0, 2**32 - 1], "<u8"),
    "i16": np.array([-(2**15), -1, 2**15 - 1], "<i2"), "i8": np.array([-128, -1, 127], "<i1"),
    "u16": np.array([0, 2**16 - 1], "<u2"), "u8": np.array([0, 255, 7], "<u1"), "bool": np.array([True, False, True]),
}
read = {
    "f16": np.array([bits_of_half(h) for h in HALF.view("<u2")], "<u4").view("<f4"),
    **{k: wide[k].astype("<i4") for k in ("i64", "i16", "i8")},
    **{k: wide[k].astype("<u4") for k in ("u64", "u16", "u8", "bool")},
}
# numpy has no bfloat16; the container is written by hand.
bf16 = np.array([0x0000, 0x8000, 0x0001, 0x3F80, 0x7F80, 0xFF81, 0x7FC0, 0xC2F7], "<u2")
body = safetensors.numpy.save(wide)
(OUT / "widened.safetensors").write_bytes(body)
note("widened.safetensors", read)
head = b'{"x":{"dtype":"BF16","shape":[2,4],"data_offsets":[0,16]}}'
(OUT / "bfloat16.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bf16.tobytes())
note("bfloat16.safetensors", {"x": (bf16.astype("<u4") << 16).view("<f4").reshape(2, 4)})
assert safetensors.deserialize((OUT / "bfloat16.safetensors").read_bytes())[0][1]["dtype"] == "BF16"


def npy(name, array, expect, version=None, rewrites=False):
    with open(OUT / name, "wb") as f:
        np.lib.format.write_array(f, array, version=version)
    note(name, {"x": expect}, rewrites=rewrites)


grid = np.arange(24, dtype="<f4").reshape(2, 3, 4)
npy("f32.npy", F32.reshape(3, 4), F32.reshape(3, 4), rewrites=True)
npy("f64.npy", F64, F64, rewrites=True)
npy("i32.npy", i32, i32, rewrites=True)
npy("u32.npy", u32, u32, rewrites=True)
npy("scalar.npy", np.array(-0.0, "<f4"), np.array(-0.0, "<f4"), rewrites=True)
npy("empty.npy", np.zeros((0, 3), "<f4"), np.zeros((0, 3), "<f4"), rewrites=True)
# Headers around a multiple of 64 bytes: one character more or less in NumPy's room for growth shows.
for last in (1, 10, 100, 1000):
    room = np.zeros((0,) + (1,) * 12 + (last,), "<f4")
    npy(f"room{last}.npy", room, room, rewrites=True)
npy("version2.npy", grid, grid, version=(2, 0))
npy("version3.npy", grid, grid, version=(3, 0))
npy("fortran.npy", np.asfortranarray(grid), grid)
npy("fortran-nan.npy", np.asfortranarray(F32.reshape(3, 4)), F32.reshape(3, 4))
npy("fortran-big-f64.npy", np.asfortranarray(F64.reshape(2, 5).astype(">f8")), F64.reshape(2, 5))
npy("big-f32.npy", F32.astype(">f4"), F32)
npy("big-i64.npy", np.array([-5, 2**31 - 1], ">i8"), np.array([-5, 2**31 - 1], "<i4"))
npy("f16.npy", HALF, read["f16"])
npy("bool.npy", wide["bool"], read["bool"])
npy("i8.npy", wide["i8"], read["i8"])
npy("u64.npy", wide["u64"], read["u64"])

source = f"safetensors {safetensors.__version__}, numpy {np.__version__}"
text = json.dumps({"source": source, "files": files}, indent=1, ensure_ascii=True)
(OUT / "formats.json").write_text(text + "\n")
