"""A peer of `kc bench --peer`: `peers.py FRAMEWORK WORKLOAD [--threads N] [--dtype DTYPE]`, the models of benches/models.

FRAMEWORK is torch, torch.compile, jax, keras (on JAX), onnxruntime, openvino or numpy; WORKLOAD one of a to g, or `gemm784x128` for a
product with weights of these extents. Prints its name, then reads lines
`ENTRY BATCH_SIZE CALLS` and answers each with the seconds that the calls took, or with `unknown`. All in float32 but for predictions with
`--dtype bf16` (torch: model and inputs; onnxruntime has none; OpenVINO: its precision hint) and products with `--dtype i8` (summed in i32).

With `--once ENTRY BATCH_SIZE CALLS` it prints `first` at the end of the first call, and at the end of so many more the greatest memory that it
had resident, in bytes, and ends.
"""

import argparse
import os
import resource
import sys
import tempfile
import time

CLASSES = {"f": 2, "d": 1000}


def extents(workload):
    return [int(extent) for extent in workload.removeprefix("gemm").split("x")]


def inputs(workload, batch_size):
    import numpy as np

    random = np.random.default_rng(0)
    shape = {"a": (784,), "b": (784,), "c": (28, 28, 1), "d": (224, 224, 3), "e": (100, 64), "g": (1024,)}
    if workload.startswith("gemm"):
        x = [random.normal(0, 1, (batch_size, extents(workload)[0])).astype("float32")]
    elif workload == "f":
        x = [random.integers(0, 8192, (batch_size, 128)).astype("int32")]
    else:
        count = 2 if workload == "g" else 1
        x = [random.normal(0, 1, (batch_size, *shape[workload])).astype("float32") for _ in range(count)]
    y = random.integers(0, CLASSES.get(workload, 10), (batch_size,)).astype("int32")
    return x, y


def torch_model(workload):
    import torch
    from torch import nn
    from torch.nn import functional as F

    if workload == "a":
        return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    if workload == "b":
        return nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )
    if workload == "c":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip

    if workload.startswith("gemm"):
        return nn.Linear(*extents(workload), bias=False)

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(64, 128, batch_first=True)
            self.out = nn.Linear(128, 10)

        def forward(self, x):
            return self.out(self.lstm(x)[0][:, -1])

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(8192, 256)
            self.positions = nn.Parameter(torch.zeros(128, 256))
            self.norm = nn.LayerNorm(256)
            block = nn.TransformerEncoderLayer(256, 4, 1024, 0.0, "gelu", batch_first=True)
            self.blocks = nn.TransformerEncoder(block, 4)
            self.out = nn.Linear(256, 2)

        def forward(self, x):
            return self.out(self.blocks(self.norm(self.words(x) + self.positions)).mean(1))

    class Elementwise(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.rand(1024))
            self.b = nn.Parameter(torch.rand(1024))
            self.norm = nn.LayerNorm(1024, eps=1e-3)

        def forward(self, x, r):
            return F.gelu(self.norm(x * self.a + self.b)) + r

    class Bottleneck(nn.Module):
        def __init__(self, before, width, stride, first):
            super().__init__()
            self.path = nn.Sequential(
                nn.Conv2d(before, width, 1, stride), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, 4 * width, 1), nn.BatchNorm2d(4 * width),
            )  # fmt: skip
            shortcut = [nn.Conv2d(before, 4 * width, 1, stride), nn.BatchNorm2d(4 * width)]
            self.shortcut = nn.Sequential(*shortcut) if first else nn.Identity()

        def forward(self, x):
            return F.relu(self.path(x) + self.shortcut(x))

    if workload == "d":
        layers, width = [nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
        for channels, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(blocks):
                layers.append(Bottleneck(width, channels, stride if number == 0 else 1, number == 0))
                width = 4 * channels
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000), nn.Softmax(-1)]
        return nn.Sequential(*layers)
    return {"e": Recurrent, "f": Encoder, "g": Elementwise}[workload]()


def torch_inputs(workload, batch_size):
    import torch

    x, y = inputs(workload, batch_size)
    x = [torch.from_numpy(array) for array in x]
    x = [array.permute(0, 3, 1, 2).contiguous() if array.dim() == 4 else array for array in x]
    return [array.long() if workload == "f" else array for array in x], torch.from_numpy(y).long()


class Torch:
    def __init__(self, workload, threads, dtype, compiled=False):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.workload, self.compiled, self.dtype = torch, workload, compiled, dtype
        self.name = f"torch {torch.__version__.split('+')[0]}" + (" compiled" if compiled else "")
        self.known = {}

    def step(self, entry, batch_size):
        torch = self.torch
        torch.manual_seed(0)
        if self.dtype == "i8":
            a, b = ((batch_size, extents(self.workload)[0]), extents(self.workload))
            a, b = (torch.randint(-128, 128, shape, dtype=torch.int8) for shape in (a, b))
            return lambda: torch._int_mm(a, b)
        model = torch_model(self.workload)
        x, y = torch_inputs(self.workload, batch_size)
        if self.dtype == "bf16":
            # convolutions of bf16 are quicker with channels last
            place = {"memory_format": torch.channels_last} if self.workload == "d" else {}
            model, x = model.to(torch.bfloat16, **place), [array.to(torch.bfloat16, **place) for array in x]
        wrap = torch.compile if self.compiled else lambda function: function
        if entry == "predict":
            call = wrap(model.eval())

            def predict():
                with torch.inference_mode():
                    return call(*x)

            return predict
        if self.workload in ("d", "g") or self.dtype != "f32":
            return None
        optimizer = torch.optim.Adam(model.train().parameters(), 1e-3, fused=True)
        loss_of = wrap(lambda x, y: torch.nn.functional.cross_entropy(model(x), y))

        def train():
            optimizer.zero_grad(set_to_none=True)
            loss_of(x[0], y).backward()
            optimizer.step()

        return train


class Jax:
    def __init__(self, workload, threads):
        import jax

        self.jax, self.workload = jax, workload
        self.name = f"JAX {jax.__version__}"

    def model(self):
        """The parameters and the function of parameters and inputs."""
        import jax.numpy as jnp
        import numpy as np
        from jax import lax, nn

        random = np.random.default_rng(1)

        def normal(scale, *shape):
            return jnp.asarray(random.normal(0, scale, shape), jnp.float32)

        def dense(inputs, outputs):
            return {"w": normal((2 / (inputs + outputs)) ** 0.5, inputs, outputs), "b": jnp.zeros(outputs)}

        def linear(p, x):
            return x @ p["w"] + p["b"]

        def norm(p, x):
            mean = x.mean(-1, keepdims=True)
            variance = ((x - mean) ** 2).mean(-1, keepdims=True)
            return (x - mean) * lax.rsqrt(variance + 1e-3) * p["g"] + p["b"]

        def scale(width):
            return {"g": jnp.ones(width), "b": jnp.zeros(width)}

        if self.workload in "ab":
            sizes = [784, 128, 10] if self.workload == "a" else [784, 512, 512, 10]

            def mlp(p, key, x):
                for layer in p[:-1]:
                    x = nn.relu(linear(layer, x))
                return linear(p[-1], x)

            return [dense(*pair) for pair in zip(sizes, sizes[1:])], mlp
        if self.workload == "c":

            def convolution(p, x):
                y = lax.conv_general_dilated(x, p["w"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
                return nn.relu(y + p["b"])

            def cnn(p, key, x):
                x = convolution(p["c2"], convolution(p["c1"], x))
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                if key is not None:
                    x = jnp.where(self.jax.random.bernoulli(key, 0.75, x.shape), x / 0.75, 0)
                return linear(p["d2"], nn.relu(linear(p["d1"], x.reshape(x.shape[0], -1))))

            kernels = {"c1": (1, 32), "c2": (32, 64)}
            weights = {name: {"w": normal(0.1, 3, 3, *io), "b": jnp.zeros(io[1])} for name, io in kernels.items()}
            return {**weights, "d1": dense(9216, 128), "d2": dense(128, 10)}, cnn
        if self.workload == "e":

            def lstm(p, key, x):
                def cell(carry, z):
                    h, c = carry
                    i, f, g, o = jnp.split(z + h @ p["r"], 4, -1)
                    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
                    return (nn.sigmoid(o) * jnp.tanh(c), c), None

                start = (jnp.zeros((x.shape[0], 128)),) * 2
                (h, _), _ = lax.scan(cell, start, linear(p["k"], x).transpose(1, 0, 2))
                return linear(p["o"], h)

            return {"k": dense(64, 512), "r": dense(128, 512)["w"], "o": dense(128, 10)}, lstm
        if self.workload == "f":

            def heads(x):
                return x.reshape(*x.shape[:2], 4, 64).transpose(0, 2, 1, 3)

            def encoder(p, key, x):
                h = norm(p["norm"], p["words"][x] + p["positions"])
                for q in p["blocks"]:
                    query, k, v = heads(linear(q["q"], h)) / 8, heads(linear(q["k"], h)), heads(linear(q["v"], h))
                    y = nn.softmax(query @ k.transpose(0, 1, 3, 2), -1) @ v
                    h = norm(q["n1"], h + linear(q["o"], y.transpose(0, 2, 1, 3).reshape(h.shape)))
                    h = norm(q["n2"], h + linear(q["f2"], nn.gelu(linear(q["f1"], h), approximate=False)))
                return linear(p["out"], h.mean(1))

            def block():
                attention = {name: dense(256, 256) for name in "qkvo"}
                return {**attention, "f1": dense(256, 1024), "f2": dense(1024, 256), "n1": scale(256), "n2": scale(256)}

            weights = {"words": normal(0.02, 8192, 256), "positions": jnp.zeros((128, 256)), "norm": scale(256)}
            return {**weights, "out": dense(256, 2), "blocks": [block() for _ in range(4)]}, encoder
        if self.workload == "g":

            def elementwise(p, key, x, r):
                return nn.gelu(norm(p["norm"], x * p["a"] + p["b"]), approximate=False) + r

            return {"a": normal(1, 1024), "b": normal(1, 1024), "norm": scale(1024)}, elementwise
        if self.workload.startswith("gemm"):
            return normal(1, *extents(self.workload)), lambda p, key, x: x @ p
        return None, None

    def step(self, entry, batch_size):
        import jax.numpy as jnp

        jax = self.jax
        parameters, model = self.model()
        if model is None:
            return None
        x, y = inputs(self.workload, batch_size)
        x = [jnp.asarray(array) for array in x]
        if entry == "predict":
            predict = jax.jit(lambda p, *x: model(p, None, *x))
            return lambda: predict(parameters, *x).block_until_ready()
        if self.workload == "g":
            return None

        def loss(p, key):
            scores = jax.nn.log_softmax(model(p, key, *x))
            return -jnp.take_along_axis(scores, y[:, None], 1).mean()

        def update(state, key):
            p, m, v, t = state
            value, g = jax.value_and_grad(loss)(p, key)
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
            return (p, m, v, t), value

        update = jax.jit(update, donate_argnums=0)
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        state = [(parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))]
        number = [0]

        def train():
            number[0] += 1
            key = jax.random.key(number[0]) if self.workload == "c" else None
            state[0], value = update(state[0], key)
            value.block_until_ready()

        return train


class Onnx:
    """The model of torch, exported."""

    def __init__(self, workload, threads, dtype, engine):
        self.workload, self.threads, self.dtype, self.engine = workload, threads, dtype, engine
        package = __import__(engine)
        self.name = f"{engine} {package.__version__.split('-')[0]}"

    def step(self, entry, batch_size):
        if entry != "predict":
            return None
        import torch

        torch.manual_seed(0)
        model = torch_model(self.workload).eval()
        x, _ = torch_inputs(self.workload, batch_size)
        names = ["x", "r"][: len(x)]
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            path = os.path.join(folder, "model.onnx")
            sys.stdout, out = sys.stderr, sys.stdout
            try:
                torch.onnx.export(
                    model, tuple(x), path, dynamo=True, input_names=names, external_data=False, verbose=False
                )
            finally:
                sys.stdout = out
            given = [array.numpy() for array in x]
            if self.engine == "onnxruntime":
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self.threads
                session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                feed = dict(zip((value.name for value in session.get_inputs()), given))
                return lambda: session.run(None, feed)
            import openvino

            settings = {"INFERENCE_PRECISION_HINT": self.dtype, "INFERENCE_NUM_THREADS": self.threads}
            request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
            return lambda: request.infer(given)


class Keras:
    """Keras on JAX: one batch at a time, as its training loop calls the compiled step."""

    def __init__(self, workload, threads):
        os.environ["KERAS_BACKEND"] = "jax"
        import keras

        self.keras, self.workload = keras, workload
        self.name = f"Keras {keras.__version__} on JAX"

    def model(self):
        from keras import Input, Sequential
        from keras import layers as L

        layers = {
            "a": [Input((784,)), L.Dense(128, activation="relu"), L.Dense(10)],
            "b": [Input((784,)), L.Dense(512, activation="relu"), L.Dense(512, activation="relu"), L.Dense(10)],
            "c": [
                Input((28, 28, 1)), L.Conv2D(32, 3, activation="relu"), L.Conv2D(64, 3, activation="relu"),
                L.MaxPooling2D(), L.Dropout(0.25), L.Flatten(), L.Dense(128, activation="relu"), L.Dense(10),
            ],
            "e": [Input((100, 64)), L.LSTM(128), L.Dense(10)],
        }  # fmt: skip
        if self.workload == "d":
            return self.keras.applications.ResNet50(weights=None)
        return Sequential(layers[self.workload]) if self.workload in layers else None

    def step(self, entry, batch_size):
        keras = self.keras
        model = self.model()
        if model is None or (entry != "predict" and self.workload == "d"):
            return None
        x, y = inputs(self.workload, batch_size)
        if entry == "predict":
            return lambda: model.predict_on_batch(x[0])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss)
        return lambda: model.train_on_batch(x[0], y)


class Numpy:
    """Matrix products only."""

    def __init__(self, workload, threads):
        import numpy

        self.numpy, self.workload = numpy, workload
        self.name = f"numpy {numpy.__version__}"

    def step(self, entry, batch_size):
        if entry != "predict" or not self.workload.startswith("gemm"):
            return None
        x, _ = inputs(self.workload, batch_size)
        w = self.numpy.random.default_rng(1).normal(0, 1, extents(self.workload)).astype("float32")
        return lambda: x[0] @ w


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("framework")
    parser.add_argument("workload")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["f32", "bf16", "i8"], default="f32")
    parser.add_argument("--once", nargs=3)
    arguments = parser.parse_args()
    known = {"torch": ["f32", "bf16", "i8"], "torch.compile": ["f32", "bf16"], "openvino": ["f32", "bf16"]}
    if arguments.dtype not in known.get(arguments.framework, ["f32"]):
        parser.error(f"{arguments.framework} is not measured in {arguments.dtype}")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(arguments.threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    # XLA's threads cannot be counted otherwise: it starts one a processor
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    made = {
        "torch": lambda w, t: Torch(w, t, arguments.dtype),
        "torch.compile": lambda w, t: Torch(w, t, arguments.dtype, compiled=True),
        "jax": Jax,
        "keras": Keras,
        "numpy": Numpy,
        "onnxruntime": lambda w, t: Onnx(w, t, arguments.dtype, "onnxruntime"),
        "openvino": lambda w, t: Onnx(w, t, arguments.dtype, "openvino"),
    }
    peer = made[arguments.framework](arguments.workload, arguments.threads)
    print(peer.name, flush=True)
    if arguments.once:
        entry, batch_size, calls = arguments.once
        step = peer.step(entry, int(batch_size))
        step()
        print("first", flush=True)
        for _ in range(int(calls)):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    steps = {}
    for line in sys.stdin:
        entry, batch_size, calls = line.split()
        key = entry, int(batch_size)
        if key not in steps:
            steps[key] = peer.step(*key) if entry in ("train_step", "predict") else None
            for _ in range(3 if steps[key] else 0):
                steps[key]()
        step = steps[key]
        if step is None:
            print("unknown", flush=True)
            continue
        start = time.perf_counter()
        for _ in range(int(calls)):
            step()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
