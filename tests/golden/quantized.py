"""Writes the cases int8_*: models quantised to int8, and their entries for manifest.json. Run it in this folder.

What they give and their derivatives, by the input and by the weights that are still trained, in training (`layer_train`). The file has the
integers and scales that Keras makes of the weights. The integers of an activation are those of Keras unless one lies within a
rounding of the middle between two: none of these does, so f32 keeps the tolerance of other cases. There is no TimeDistributed: Keras' calls
what its layer was before it was quantised, on the integers.
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
BATCH = 4


def mlp():
    x = layers.Input((12,), name="in0")
    y = layers.Dense(16, activation="tanh")(x)
    return keras.Model(x, layers.Dense(5, use_bias=False)(y))


def steps():
    x = layers.Input((3, 6), name="in0")
    y = layers.Dense(8, activation="relu")(x)
    return keras.Model(x, layers.Dense(4)(y))


def block():
    words = layers.Input((6,), dtype="int32", name="in0")
    x = layers.Embedding(30, 8)(words)
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(2, 4)(y, y)
    x = layers.Add()([x, y])
    return keras.Model(words, layers.Dense(4)(x))


def einsum():
    x = layers.Input((6, 8), name="in0")
    y = layers.EinsumDense("abc,cde->adbe", output_shape=(2, 6, 4), bias_axes="de", activation="tanh")(x)
    y = layers.EinsumDense("abcd,bde->ace", output_shape=(6, 5), bias_axes="e")(y)
    return keras.Model(x, layers.EinsumDense("abc,cd->abd", output_shape=(None, 3))(y))


def as_f32(value):
    value = np.asarray(value)
    return value.astype("float32") if value.dtype.name == "bfloat16" else value


def path(variable):
    return variable.path.replace("/", ".")


entries = []
for seed, (make, policy, tolerance) in enumerate(
    [(mlp, "float32", 1e-5), (mlp, "mixed_bfloat16", 2.0**-6), (steps, "float32", 1e-5), (block, "float32", 1e-5), (einsum, "float32", 1e-5)]
):
    name = f"int8_{make.__name__}" + ("_mixed" if policy != "float32" else "")
    keras.utils.clear_session()
    keras.utils.set_random_seed(81 + seed)
    keras.config.set_dtype_policy(policy)
    model = make()
    # biases and normalisations that do something
    random = np.random.default_rng(91 + seed)
    for variable in model.weights:
        if variable.ndim == 1:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    model.quantize("int8")
    keras.config.set_dtype_policy("float32")
    model.save(name + ".keras")
    words = model.inputs[0].dtype == "int32"
    shape = (BATCH,) + model.inputs[0].shape[1:]
    x = random.integers(0, 30, shape).astype("int32") if words else random.normal(size=shape).astype("float32")
    state = [variable.value for variable in model.non_trainable_variables]
    weights = [variable.value for variable in model.trainable_variables]

    def call(weights, x):
        return model.stateless_call(weights, state, x, training=True)

    function = (lambda w: call(w, x)) if words else call
    operands = (weights,) if words else (weights, x)
    out, pullback, _ = jax.vjp(jax.jit(function), *operands, has_aux=True)
    g = random.normal(size=out.shape).astype(out.dtype)
    gradients = pullback(g)
    arrays = {"in0": x, "out0": as_f32(out), "g_out0": as_f32(g)}
    if not words:
        arrays["grad_in0"] = as_f32(gradients[1])
    for variable, gradient in zip(model.trainable_variables, gradients[0]):
        arrays["grad_w_" + path(variable)] = as_f32(gradient)
    np.savez(name + ".npz", **arrays)
    entry = {"name": name, "kind": "layer_train", "classes": ["QuantizedDTypePolicy"], "files": [name + ".keras", name + ".npz"]}
    entry |= {"n_in": 1, "n_out": 1, "n_grads": len(weights) + (not words), "training": True}
    entries.append(entry | {"atol": tolerance, "rtol": 10 * tolerance, "grad_atol": 10 * tolerance, "grad_rtol": 10 * tolerance})

with open("manifest.json") as file:
    manifest = json.load(file)
names = [entry["name"] for entry in entries]
manifest["cases"] = [case for case in manifest["cases"] if case["name"] not in names] + entries
with open("manifest.json", "w") as file:
    json.dump(manifest, file, indent=1)
    file.write("\n")
