"""Compares what a GPU computed with what a CPU did: `arrays A.npy B.npy` (f32), or the losses of two logs of `kc-run fit`."""

import ast
import re
import struct
import sys


def array(path):
    data = open(path, "rb").read()
    length = struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10 : 10 + length].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    values = struct.unpack(f"<{(len(data) - 10 - length) // 4}f", data[10 + length :])
    return header["shape"], values


def losses(path):
    return [float(value) for value in re.findall(r"\bloss: ([0-9.e+-]+)", open(path).read())]


kind, expected, given = sys.argv[1:]
if kind == "arrays":
    (shape, a), (other, b) = array(expected), array(given)
    assert shape == other, f"shape {other}, expected {shape}"
    worst = max(abs(x - y) for x, y in zip(a, b))
    print(f"largest difference {worst}")
    # a NaN is no number that is at most this
    assert worst <= 1e-4
else:
    a, b = losses(expected), losses(given)
    print(a, b)
    assert a and len(a) == len(b)
    assert all(abs(x - y) <= 0.02 * abs(x) + 1e-3 for x, y in zip(a, b))
