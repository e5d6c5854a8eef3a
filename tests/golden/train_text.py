"""Writes train_sgd__text.keras and .npz: five steps of a classifier of short texts, and its entry for manifest.json. Run it in this folder.

Words stand several times in a text and in a batch, so rows of the table get several gradients in a step, and others none.
"""
import json
import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import keras
import numpy as np
from keras import layers

jax.config.update("jax_default_matmul_precision", "highest")
NAME, BATCH, STEPS = "train_sgd__text", 16, 5
keras.utils.set_random_seed(29)
model = keras.Sequential(
    [
        keras.Input((6,), dtype="int32"),
        layers.Embedding(40, 8),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, activation="relu"),
        layers.Dense(4, activation="softmax"),
    ],
    name="sequential",
)
model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.save(NAME + ".keras")
random = np.random.default_rng(31)
x = random.integers(0, 40, (BATCH * STEPS, 6)).astype("int32")
x[:, 5] = x[:, 0]
y = random.integers(0, 4, BATCH * STEPS).astype("int32")
arrays = {"x": x, "y": y}
losses, metrics = [], []
for step in range(STEPS):
    model.reset_metrics()
    rows = slice(step * BATCH, (step + 1) * BATCH)
    loss, accuracy = model.train_on_batch(x[rows], y[rows])
    losses.append(float(loss))
    metrics.append([float(accuracy)])
arrays["loss"], arrays["metrics"] = np.array(losses), np.array(metrics)
for prefix, variables in (("w_final_", model.weights), ("opt_var_", model.optimizer.variables)):
    for variable in variables:
        path = variable.path if variable.path.startswith(("sequential", "sgd")) else "sequential/" + variable.path
        arrays[prefix + path.replace("/", ".")] = np.asarray(variable)
np.savez(NAME + ".npz", **arrays)
entry = {
    "name": NAME,
    "kind": "train",
    "classes": ["SGD", "Embedding", "GlobalAveragePooling1D"],
    "files": [NAME + ".keras", NAME + ".npz"],
    "optimizer": keras.saving.serialize_keras_object(model.optimizer),
    "loss": "sparse_categorical_crossentropy",
    "batch": BATCH,
    "steps": STEPS,
    "atol": 2e-05,
    "rtol": 0.0001,
}
with open("manifest.json") as file:
    manifest = json.load(file)
manifest["cases"] = [case for case in manifest["cases"] if case["name"] != NAME] + [entry]
with open("manifest.json", "w") as file:
    json.dump(manifest, file, indent=1)
    file.write("\n")
