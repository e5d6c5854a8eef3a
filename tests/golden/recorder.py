"""Calls of keras.ops with what Keras on JAX gave, as a file.

Two arrays of bytes: `calls`, a JSON list, and `data`, what the calls refer to. A call is {"name", "args", "kwargs", "out"}; an array in
it is {"dtype", "shape", "at"}, its elements at that byte of `data`. An argument is an array, a number, or a list of them. Some have
"cotangents", one a result, and "gradients", what comes of them for the floating-point arrays among the arguments, in order. A call that
Keras refuses is left out.
"""
import json
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import jax.numpy as jnp
import numpy as np
from keras import ops

jax.config.update("jax_default_matmul_precision", "highest")


class Recorder:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.data = bytearray()
        self.placed = {}
        self.calls = []
        self.refused = []

    def put(self, array):
        """The array's place in `data`; equal bytes are stored once."""
        array = np.asarray(array)
        text = array.tobytes()
        if text not in self.placed:
            self.placed[text] = len(self.data)
            self.data.extend(text)
        return {"dtype": str(array.dtype), "shape": list(array.shape), "at": self.placed[text]}

    def encode(self, value):
        if isinstance(value, float) and np.isinf(value):
            return "inf" if value > 0 else "-inf"
        if isinstance(value, (bool, int, float, str)) or value is None:
            return value
        if isinstance(value, (list, tuple)):
            return [self.encode(item) for item in value]
        if isinstance(value, dict):
            return {key: self.encode(item) for key, item in value.items()}
        return self.put(value)

    def call(self, name, *args, **kwargs):
        """Records the call `keras.ops.name(*args, **kwargs)`; a name may have dots."""
        function = ops
        for part in name.split("."):
            function = getattr(function, part)
        try:
            out = function(*args, **kwargs)
        except Exception as error:
            self.refused.append((name, str(kwargs), [getattr(a, "dtype", a) for a in args], str(error)[:100]))
            return
        out = [self.put(x) for x in jax.tree.leaves(out)]
        self.calls.append({"name": name, "args": self.encode(args), "kwargs": self.encode(kwargs), "out": out})

    def gradient(self, name, *args, **kwargs):
        """Records a call with the derivatives of the results' sum, weighted with cotangents, by its floating-point arrays in order."""
        function = ops
        for part in name.split("."):
            function = getattr(function, part)
        leaves, tree = jax.tree.flatten((args, {k: v for k, v in kwargs.items() if hasattr(v, "dtype")}))
        floats = [i for i, x in enumerate(leaves) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]

        def results(*values):
            replaced = list(leaves)
            for i, value in zip(floats, values):
                replaced[i] = value
            positional, named = jax.tree.unflatten(tree, replaced)
            return jax.tree.leaves(function(*positional, **{**kwargs, **named}))

        out, back = jax.vjp(results, *[leaves[i] for i in floats])
        cotangents = [self.draw(x.shape) for x in out]
        self.calls.append({"name": name, "args": self.encode(args), "kwargs": self.encode(kwargs), "out": [self.put(x) for x in out],
                           "cotangents": [self.put(x) for x in cotangents], "gradients": [self.put(x) for x in back(cotangents)]})

    def draw(self, shape, dtype="float32"):
        if dtype == "bool":
            return jnp.asarray(self.random.random(shape) < 0.5)
        if dtype.startswith("u"):
            return jnp.asarray(self.random.integers(0, 7, shape), dtype)
        if dtype.startswith("i"):
            return jnp.asarray(self.random.integers(-5, 6, shape), dtype)
        # few bits, so that the file stays small and sums are exact
        return jnp.asarray(np.round(self.random.normal(0, 1.5, shape) * 16) / 16, dtype)

    def write(self, file):
        """Writes the file beside the generator, or where the command line says."""
        path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), file)
        text = json.dumps(self.calls, separators=(",", ":")).encode()
        np.savez_compressed(path, calls=np.frombuffer(text, np.uint8), data=np.frombuffer(bytes(self.data), np.uint8))
        functions = len({call["name"] for call in self.calls})
        size = os.path.getsize(path)
        print(f"{len(self.calls)} calls of {functions} functions, {size} bytes, {len(self.refused)} refused")
        if os.environ.get("VERBOSE"):
            for line in self.refused:
                print(*line)
