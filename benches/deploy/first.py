"""One prediction of the MLP by a framework in Python, on one thread: first.py FRAMEWORK FILE.onnx WEIGHTS; with a fourth argument, `steady`,
also the median time of many."""
import os
import sys
import time

framework, model, weights = sys.argv[1:4]
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy

image = numpy.array([i * 31 % 251 for i in range(784)], dtype=numpy.float32).reshape(1, 784)


def parameters():
    values = numpy.fromfile(weights, numpy.float32)
    sizes = [(784, 128), (128,), (128, 10), (10,)]
    start = 0
    for shape in sizes:
        count = int(numpy.prod(shape))
        yield values[start : start + count].reshape(shape)
        start += count


if framework == "onnxruntime":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict():
        return session.run(None, {"x": image})[0][0]

elif framework == "torch":
    import torch

    torch.set_num_threads(1)
    w1, b1, w2, b2 = (torch.from_numpy(array) for array in parameters())

    def predict():
        with torch.inference_mode():
            hidden = torch.relu(torch.from_numpy(image) / 255 @ w1 + b1)
            return torch.softmax(hidden @ w2 + b2, -1).numpy()[0]

elif framework == "jax":
    import jax

    w1, b1, w2, b2 = (jax.numpy.asarray(array) for array in parameters())

    @jax.jit
    def network(x):
        return jax.nn.softmax(jax.nn.relu(x / 255 @ w1 + b1) @ w2 + b2)

    def predict():
        return numpy.asarray(network(image))[0]

elif framework == "keras":
    import keras

    network = keras.Sequential(
        [
            keras.Input([784]),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    network.set_weights(list(parameters()))

    def predict():
        return numpy.asarray(network(image))[0]

else:
    sys.exit(f"unknown framework {framework}")

y = predict()
print(y.argmax(), "%.5f" % y.max())
if sys.argv[4:] == ["steady"]:
    times = []
    for _ in range(1000):
        start = time.perf_counter_ns()
        predict()
        times.append(time.perf_counter_ns() - start)
    print(sorted(times)[500])
