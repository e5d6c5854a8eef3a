"""Writes net_attention.keras and .npz: attention as people write it by themselves, of products and softmax, and its entry for manifest.json.
Run it in this folder.

Four blocks: two heads by `matmul`, scaled, with an additive mask; the same by `einsum` without a mask; one head of scaled queries; scores
without a scale but with a bias, as T5 has them.
"""
import json
import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import keras
import numpy as np
from keras import layers, ops

jax.config.update("jax_default_matmul_precision", "highest")
NAME, POSITIONS, FEATURES = "net_attention", 6, 8
keras.utils.set_random_seed(41)


def projections(x):
    return [layers.Dense(FEATURES)(x) for _ in range(3)]


def heads(x):
    return ops.transpose(layers.Reshape((POSITIONS, 2, 4))(x), (0, 2, 1, 3))


def joined(x):
    return layers.Reshape((POSITIONS, FEATURES))(ops.transpose(x, (0, 2, 1, 3)))


def attended(scores, v):
    return ops.matmul(ops.softmax(scores, axis=-1), v)


x = layers.Input((POSITIONS, FEATURES), name="in0")
kept = layers.Input((1, 1, POSITIONS), dtype="int32", name="in1")
bias = (1.0 - ops.cast(kept, "float32")) * -1e9

q, k, v = [heads(each) for each in projections(x)]
scores = ops.divide(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))), 2.0)
y = x + joined(attended(scores + bias, v))

q, k, v = [layers.Reshape((POSITIONS, 2, 4))(each) for each in projections(y)]
weights = ops.softmax(ops.einsum("btnh,bsnh->bnts", q, k) * 0.5, axis=-1)
y = y + layers.Reshape((POSITIONS, FEATURES))(ops.einsum("bnts,bsnh->btnh", weights, v))

q, k, v = projections(y)
y = y + attended(ops.matmul(q * 0.35, ops.transpose(k, (0, 2, 1))), v)

q, k, v = [heads(each) for each in projections(y)]
y = y + joined(attended(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) + bias, v))

model = keras.Model([x, kept], y)
model.save(NAME + ".keras")
random = np.random.default_rng(43)
arrays = {
    "in0": random.normal(size=(3, POSITIONS, FEATURES)).astype("float32"),
    "in1": np.ones((3, 1, 1, POSITIONS), "int32"),
}
arrays["in1"][1, ..., 4:] = 0
arrays["in1"][2, ..., 1] = 0
arrays["g_out0"] = random.normal(size=(3, POSITIONS, FEATURES)).astype("float32")
arrays["out0"] = np.asarray(model([arrays["in0"], arrays["in1"]]))


def loss(weights, first, second):
    outputs, _ = model.stateless_call(weights, [], [first, second])
    return (outputs * arrays["g_out0"]).sum()


weights = [variable.value for variable in model.trainable_variables]
by_weights, by_input = jax.grad(loss, argnums=(0, 1))(weights, arrays["in0"], arrays["in1"])
arrays["grad_in0"] = np.asarray(by_input)
for variable, gradient in zip(model.trainable_variables, by_weights):
    arrays["grad_w_" + variable.path.replace("/", ".")] = np.asarray(gradient)
np.savez(NAME + ".npz", **arrays)
entry = {
    "name": NAME,
    "kind": "layer",
    "classes": ["Functional"],
    "files": [NAME + ".keras", NAME + ".npz"],
    "n_in": 2,
    "n_out": 1,
    "n_grads": len(by_weights) + 1,
    "training": False,
    "atol": 1e-05,
    "rtol": 0.0001,
    "grad_atol": 0.0001,
    "grad_rtol": 0.001,
}
with open("manifest.json") as file:
    manifest = json.load(file)
manifest["cases"] = [case for case in manifest["cases"] if case["name"] != NAME] + [entry]
with open("manifest.json", "w") as file:
    json.dump(manifest, file, indent=1)
    file.write("\n")
