"""Writes jax_random.json: what `jax.random` gives. Run it in this folder with JAX 0.10.2 (partitionable threefry, its default).

A row is a function, a key, a dtype, a shape, two numbers (bounds, or an axis) and the elements: their bits as unsigned integers, of
`normal` and `truncated_normal` their values.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
KEYS = [(0, 42), (7, 0), (0xDEADBEEF, 0x01234567)]
LOGITS = jnp.array([[0.0, 1.0, -1.0, 0.5], [2.0, 2.0, 2.0, -3.0]], "float32")
rows = []


def row(function, key, dtype, shape, low, high, values):
    values = np.asarray(values)
    if "normal" in function:
        values = values.astype("float64")
    else:
        values = values.view(f"uint{8 * values.dtype.itemsize}")
    rows.append([function, key, dtype, shape, low, high, values.ravel().tolist()])


for words in KEYS:
    key = jnp.array(words, "uint32")
    row("bits", words, "uint32", (5,), 0, 0, jax.random.bits(key, (5,), "uint32"))
    for dtype in ("float32", "float64", "bfloat16", "float16"):
        for shape in ((5,), (2, 3)):
            for low, high in ((0.0, 1.0), (-2.0, 3.0), (1.5, 1.75)):
                row("uniform", words, dtype, shape, low, high, jax.random.uniform(key, shape, dtype, low, high))
        row("normal", words, dtype, (5,), 0, 0, jax.random.normal(key, (5,), dtype))
        row("truncated_normal", words, dtype, (5,), 0, 0, jax.random.truncated_normal(key, -2.0, 2.0, (5,), dtype))
    for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        below = 0 if dtype[0] == "u" else -1
        for low, high in ((0, 10), (5, 5), (3 * below, 100), (0, 256), (0, 2**31), (below * 2**40, 2**62)):
            bounds = [jnp.array(bound, "int64") for bound in (low, high)]
            row("randint", words, dtype, (2, 3), low, high, jax.random.randint(key, (2, 3), *bounds, dtype))
    for shape, axis in (((5,), 0), ((100,), 0), ((3, 4), 0), ((3, 4), 1)):
        x = jnp.arange(np.prod(shape), dtype="int32").reshape(shape)
        row("shuffle", words, "int32", shape, axis, 0, jax.random.permutation(key, x, axis, independent=True))
    for count in (3, 8):
        classes = jax.random.categorical(key, LOGITS[..., None], shape=(2, count), axis=1)
        row("categorical", words, "int32", (2, count), 0, 0, classes.astype("int32"))
with open("jax_random.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
