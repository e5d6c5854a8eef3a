"""Writes seeding_*.npz: what Keras with its JAX back end makes of a seed. Run it in this folder with Keras 3.15.1.

Each file holds the weights of a model at first (`w_init_*`) and at last (`w_final_*`), in the order of `get_weights()`, the states
of its seed generators at last (`seed_*`), the data, the running loss of each batch of two fits (`loss`), and the orders that NumPy
drew for them (`order_*`). `../tests/seeding.rs` builds the same models.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np
from keras import initializers, layers

jax.config.update("jax_default_matmul_precision", "highest")


def mlp():
    generator = keras.random.SeedGenerator(11)
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(12, "tanh", kernel_initializer="he_normal", bias_initializer=initializers.RandomNormal(stddev=0.1)),
            layers.Dropout(0.25, seed=5),
            layers.Dense(12, kernel_initializer=initializers.LecunUniform(seed=generator)),
            layers.Dense(12, kernel_initializer=initializers.LecunUniform(seed=generator)),
            layers.Dropout(0.0),
            layers.Dense(4, activation="softmax", kernel_initializer=initializers.TruncatedNormal()),
        ]
    )


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(6, 3, activation="relu", kernel_initializer="he_uniform"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Dropout(0.2),
            layers.Conv2D(8, 2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(4, activation="softmax"),
        ]
    )


def encoder():
    x = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(2, 4, dropout=0.1)
    dense = layers.Dense(8, activation="gelu")
    y = layers.Add()([x, attention(x, x)])
    y = layers.LayerNormalization()(y)
    y = layers.Flatten()(dense(y))
    y = layers.Dropout(0.2)(y)
    return keras.Model(x, layers.Dense(4, activation="softmax")(y))


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def write(name, seed, build, shape, optimizer):
    rows = np.random.default_rng(7)
    x = rows.normal(size=(56, *shape)).astype("float32")
    y = rows.integers(0, 4, 56).astype("int32")
    orders, draw = [], np.random.permutation

    def permutation(count):
        orders.append(draw(count))
        return orders[-1]

    np.random.permutation = permutation
    keras.utils.set_random_seed(seed)
    model = build()
    arrays = {"x": x, "y": y}
    arrays |= {f"w_init_{i:02}": w for i, w in enumerate(model.get_weights())}
    model.compile(optimizer(), "sparse_categorical_crossentropy")
    losses = Losses()
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[losses])
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[losses])
    np.random.permutation = draw
    arrays["loss"] = np.array(losses.losses)
    arrays |= {f"order_{i}": order.astype("int32") for i, order in enumerate(orders)}
    states = [v for v in model.non_trainable_variables if "seed_generator" in v.path]
    arrays |= {f"seed_{i}": np.asarray(v.value) for i, v in enumerate(states)}
    arrays |= {f"w_final_{i:02}": w for i, w in enumerate(model.get_weights())}
    arrays = {key: value for key, value in arrays.items() if not (key.startswith("w_") and value.dtype == np.uint32)}
    np.savez_compressed(f"seeding_{name}.npz", **arrays)


write("mlp", 42, mlp, (8,), keras.optimizers.Adam)
write("cnn", 2_000_000_011, cnn, (8, 8, 2), lambda: keras.optimizers.SGD(0.05, momentum=0.9))
write("encoder", 0, encoder, (5, 8), lambda: keras.optimizers.SGD(0.1))
