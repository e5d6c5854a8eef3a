"""Writes the cases mixed_*: networks in mixed precision, and their entries for manifest.json. Run it in this folder.

For `mixed_bfloat16` and `mixed_float16` each of a dense network, a convolutional one with batch normalisation, an LSTM, and a transformer's
block: what it gives in training with derivatives (`..._train`: `layer_train`), and five steps of an optimizer (`..._steps`: `train`). The
case `mixed_float16_mlp_overflow` has steps whose scaled loss has derivatives beyond f16; `pure_*` have weights of the dtype too.

XLA fuses elementwise operations of narrow dtypes without rounding between them, kc rounds each as its graph says: results are some
roundings apart. The tolerances say how many: 2^-8 (bfloat16) or 2^-11 (float16) is half a unit in the last place. Derivatives are sums of
terms that are each some roundings apart, over a way twice as long. What has no kinks is here, as derivatives jump at them: a
rounding more or less moves an element to the other side.
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
BATCH, STEPS = 8, 5
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


def mlp():
    x = layers.Input((12,), name="in0")
    y = layers.Dense(16, activation="relu")(x)
    y = layers.Dense(16, activation="tanh")(y)
    return keras.Model(x, layers.Dense(4)(y))


def cnn():
    x = layers.Input((10, 10, 2), name="in0")
    y = layers.Conv2D(8, 3, use_bias=False)(x)
    y = layers.BatchNormalization(momentum=0.9)(y)
    y = layers.Activation("silu")(y)
    y = layers.AveragePooling2D(2)(y)
    y = layers.Conv2D(8, 3, padding="same", activation="tanh")(y)
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(4)(y))


def lstm():
    x = layers.Input((5, 6), name="in0")
    y = layers.LSTM(8)(x)
    return keras.Model(x, layers.Dense(4)(y))


def block():
    words = layers.Input((6,), dtype="int32", name="in0")
    x = layers.Embedding(300, 8)(words)
    y = layers.LayerNormalization()(x)
    attention = layers.MultiHeadAttention(2, 4)
    if attention.compute_dtype == "float16":
        # JAX has no fused attention in f16 for CPUs; this way Keras does it by itself
        y, _ = attention(y, y, return_attention_scores=True)
    else:
        y = attention(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(16, activation="gelu")(y)
    y = layers.Dense(8)(y)
    y = layers.GlobalAveragePooling1D()(layers.Add()([x, y]))
    # what Keras recommends: the last layer in f32
    return keras.Model(words, layers.Dense(4, dtype="float32")(y))


def as_f32(value):
    value = np.asarray(value)
    return value.astype("float32") if value.dtype.name in ROUNDING else value


def path(variable):
    return variable.path.replace("/", ".")


def samples(random, model, count):
    shape = (count,) + model.inputs[0].shape[1:]
    if model.inputs[0].dtype == "int32":
        return random.integers(0, 300, shape).astype("int32")
    return random.normal(size=shape).astype("float32")


def in_training(name, model, random):
    arrays = {"in0": samples(random, model, BATCH)}
    g = random.normal(size=(BATCH, 4)).astype(model.outputs[0].dtype)
    arrays["g_out0"] = as_f32(g)
    state = [variable.value for variable in model.non_trainable_variables]

    def call(weights, x):
        return model.stateless_call(weights, state, x, training=True)

    weights = [variable.value for variable in model.trainable_variables]
    words = arrays["in0"].dtype == np.int32
    function = (lambda w: call(w, arrays["in0"])) if words else call
    operands = (weights,) if words else (weights, arrays["in0"])
    out, pullback, after = jax.vjp(jax.jit(function), *operands, has_aux=True)
    gradients = pullback(g)
    arrays["out0"] = as_f32(out)
    for variable, gradient in zip(model.trainable_variables, gradients[0]):
        arrays["grad_w_" + path(variable)] = as_f32(gradient)
    if not words:
        arrays["grad_in0"] = as_f32(gradients[1])
    for variable, value in zip(model.non_trainable_variables, after):
        if "seed" in variable.path:
            continue
        arrays["state_after_" + path(variable)] = as_f32(value)
    np.savez(name + ".npz", **arrays)
    return {"kind": "layer_train", "n_in": 1, "n_out": 1, "n_grads": len(weights) + (not words), "training": True}


def in_steps(name, model, random, scaled=None):
    # a rate at which the steps tell the gradients apart, and a state of the optimizer that keeps them
    optimizer = keras.optimizers.SGD(0.125, momentum=0.5)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, **scaled)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        auto_scale_loss=False,
    )
    x = samples(random, model, BATCH * STEPS)
    y = random.integers(0, 4, BATCH * STEPS).astype("int32")
    arrays, losses, metrics = {"x": x, "y": y}, [], []
    for step in range(STEPS):
        model.reset_metrics()
        rows = slice(step * BATCH, (step + 1) * BATCH)
        loss, accuracy = model.train_on_batch(x[rows], y[rows])
        losses.append(float(loss))
        if scaled:
            print(name, step, float(loss), float(model.optimizer.dynamic_scale), int(model.optimizer.step_counter))
        metrics.append([float(accuracy)])
    arrays["loss"], arrays["metrics"] = np.array(losses), np.array(metrics)
    for variable in model.weights:
        arrays["w_final_" + path(variable)] = as_f32(variable)
    for variable in model.optimizer.variables:
        if variable.path in ("loss_scale_optimizer/iteration", "loss_scale_optimizer/learning_rate"):
            continue  # those of every optimizer, which this one does not use
        full = variable.path if variable.path.startswith(("sgd", "loss_scale")) else "sgd/" + variable.path
        arrays["opt_var_" + full.replace("/", ".")] = as_f32(variable)
    np.savez(name + ".npz", **arrays)
    optimizer = keras.saving.serialize_keras_object(model.optimizer)
    return {"kind": "train", "optimizer": optimizer, "loss": "sparse_categorical_crossentropy", "batch": BATCH, "steps": STEPS}


entries = []
for dtype, rounding in ROUNDING.items():
    for seed, make in enumerate((mlp, cnn, lstm, block)):
        for what, write in (("train", in_training), ("steps", in_steps)):
            name = f"mixed_{dtype}_{make.__name__}_{what}"
            keras.utils.clear_session()
            keras.utils.set_random_seed(61 + seed)
            keras.config.set_dtype_policy("mixed_" + dtype)
            model = make()
            keras.config.set_dtype_policy("float32")
            model.save(name + ".keras")
            entry = write(name, model, np.random.default_rng(71 + seed))
            tolerance = {"atol": 4 * rounding, "rtol": 4 * rounding}
            if what == "train":
                # the block's are up to 22, those of its embeddings up to 73 roundings from what Keras has in f32
                share = 32 if make is block else 12
                tolerance |= {"grad_atol": share * rounding, "grad_rtol": share * rounding}
            entries.append({"name": name, "classes": ["DTypePolicy"], "files": [name + ".keras", name + ".npz"], **entry, **tolerance})

# whose weights have the dtype too, and so has the file
for dtype, rounding in ROUNDING.items():
    name = f"pure_{dtype}_mlp_train"
    keras.utils.clear_session()
    keras.utils.set_random_seed(66)
    keras.config.set_dtype_policy(dtype)
    model = mlp()
    keras.config.set_dtype_policy("float32")
    model.save(name + ".keras")
    entry = in_training(name, model, np.random.default_rng(76))
    tolerance = {"atol": 4 * rounding, "rtol": 4 * rounding, "grad_atol": 12 * rounding, "grad_rtol": 12 * rounding}
    entries.append({"name": name, "classes": ["DTypePolicy"], "files": [name + ".keras", name + ".npz"], **entry, **tolerance})

name = "mixed_float16_mlp_overflow"
keras.utils.clear_session()
keras.utils.set_random_seed(67)
keras.config.set_dtype_policy("mixed_float16")
model = mlp()
keras.config.set_dtype_policy("float32")
model.save(name + ".keras")
entry = in_steps(name, model, np.random.default_rng(77), {"initial_scale": 2.0**20, "dynamic_growth_steps": 2})
rounding = ROUNDING["float16"]
entries.append({"name": name, "classes": ["LossScaleOptimizer"], "files": [name + ".keras", name + ".npz"], **entry, "atol": 4 * rounding, "rtol": 4 * rounding})

with open("manifest.json") as file:
    manifest = json.load(file)
names = [entry["name"] for entry in entries]
manifest["cases"] = [case for case in manifest["cases"] if case["name"] not in names] + entries
with open("manifest.json", "w") as file:
    json.dump(manifest, file, indent=1)
    file.write("\n")
