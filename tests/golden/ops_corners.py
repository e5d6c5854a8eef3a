"""Writes ops_corners.npz: calls of keras.ops at the edges of what it takes. Usage: ops_corners.py [file]

Tensors without elements, scalars, axes counted from the end, dtypes that meet, numbers on the edges of domains.
"""
import jax.numpy as jnp
import numpy as np
from recorder import Recorder

recorder = Recorder(23)
call, draw, gradient = recorder.call, recorder.draw, recorder.gradient

NONE, NO_ROWS, CUBE = jnp.zeros((0,)), jnp.zeros((0, 3)), draw((2, 3, 4))
NAN, INF = np.nan, np.inf

# without elements
for name in "sum prod mean var std any all nansum nanprod nanmean count_nonzero logsumexp median".split():
    call(name, NONE)
    call(name, NO_ROWS, axis=-2)
    call(name, NO_ROWS, axis=-1)
for name in "softmax log_softmax sort argsort cumsum cumprod flip".split():
    call(name, NO_ROWS, axis=-1)
    call(name, NO_ROWS, axis=0)
for name in "normalize layer_normalization rms_normalization".split():
    call(name, NO_ROWS)
for a, b in (((2, 0), (0, 3)), ((0, 2), (2, 3)), ((2, 3, 0), (0, 2)), ((0,), (0,)), ((0, 2, 3), (0, 3, 4))):
    call("matmul", jnp.zeros(a), jnp.zeros(b))
    gradient("matmul", jnp.zeros(a), jnp.zeros(b))
call("einsum", "ij,jk->ik", jnp.zeros((2, 0)), jnp.zeros((0, 3)))
call("tensordot", jnp.zeros((2, 0)), jnp.zeros((0, 3)), axes=1)
call("outer", NONE, draw((3,)))
call("concatenate", [NO_ROWS, draw((2, 3)), NO_ROWS], axis=-2)
gradient("concatenate", [NO_ROWS, draw((2, 3))], axis=0)
call("stack", [NONE, NONE], axis=-1)
call("split", draw((4, 3)), (0, 4), axis=-2)
call("pad", NO_ROWS, ((1, 1), (0, 0)))
call("take", draw((3, 2)), jnp.zeros((0,), "int32"), axis=-2)
call("take", draw((3, 2)), jnp.zeros((2, 0), "int32"))
call("take_along_axis", draw((3, 2)), jnp.zeros((0, 2), "int32"), axis=0)
call("segment_sum", NO_ROWS, jnp.zeros((0,), "int32"), num_segments=2)
call("segment_max", NO_ROWS, jnp.zeros((0,), "int32"), num_segments=2)
call("one_hot", jnp.zeros((0,), "int32"), 3)
call("top_k", NO_ROWS, 2)
call("bincount", jnp.zeros((0,), "int32"), minlength=3)
call("diag", NONE)
call("diag", jnp.zeros((0, 2)))
call("trace", jnp.zeros((0, 0)))
call("meshgrid", NONE, draw((2,)))
call("broadcast_to", jnp.zeros((1, 3)), (0, 3))
call("reshape", NO_ROWS, (3, -1))
call("reshape", NO_ROWS, (0, 5))
call("tile", NO_ROWS, (2, 2))
call("repeat", NO_ROWS, 2, axis=1)
call("repeat", draw((2, 3)), 0, axis=-1)
call("diff", draw((1,)))
call("diff", draw((2,)), n=3)
call("cross", jnp.zeros((0, 3)), jnp.zeros((0, 3)))
call("where", jnp.zeros((0, 3), bool), NO_ROWS, 1.0)
call("isin", NONE, draw((2,)))
call("isin", draw((2,)), NONE)
call("allclose", NONE, NONE)
call("conv", jnp.zeros((0, 5, 5, 2)), draw((2, 2, 2, 3)))
call("max_pool", jnp.zeros((0, 4, 4, 2)), 2, strides=2)
call("dot_product_attention", jnp.zeros((0, 3, 2, 4)), jnp.zeros((0, 5, 2, 4)), jnp.zeros((0, 5, 2, 4)))
call("image.resize", jnp.zeros((0, 4, 4, 2)), (3, 3))
call("rearrange", jnp.zeros((0, 4)), "b (h w) -> h b w", h=2)
call("cholesky", jnp.zeros((0, 3, 3)))
call("inv", jnp.zeros((0, 2, 2)))
call("det", jnp.zeros((0, 2, 2)))
call("solve", jnp.zeros((0, 2, 2)), jnp.zeros((0, 2, 1)))
call("norm", NONE)
call("norm", NO_ROWS, axis=-1)
call("linspace", 0.0, 1.0, num=0)
call("correlate", draw((3,)), draw((1,)), mode="full")
call("vander", NONE)
call("trapezoid", draw((1,)))
call("trapezoid", draw((2, 1)), axis=-2)
call("average", draw((2, 3)), axis=-2, weights=jnp.asarray([1, 2], "int32"))
call("searchsorted", NONE, draw((2,)))
call("unravel_index", jnp.asarray([-1, 3, -4, 7], "int32"), (2, 2))

# scalars
for name in "sum mean max min argmax argmin std var prod any median ravel cumsum flip squeeze negative logsumexp".split():
    call(name, draw(()))
for name in "sum mean max min prod cumsum".split():
    gradient(name, draw(()))
call("dot", 2, draw((2, 3)))
call("dot", draw(()), draw(()))
call("outer", draw(()), draw((3,)))
call("kron", draw(()), draw((2, 2)))
call("vdot", draw(()), draw(()))
call("inner", draw(()), draw((2, 3)))
call("take", draw((3, 2)), 1, axis=-1)
call("take", draw((3, 2)), -1)
call("take", draw((3, 2)), jnp.asarray(7, "int32"))
call("take", draw((3, 2)), jnp.asarray([7, -9, 2, -3], "int32"), axis=-2)
gradient("take", draw((3, 2)), jnp.asarray([7, -9, 2, -3], "int32"), axis=0)
call("take", jnp.arange(3, dtype="int32"), jnp.asarray([7, -9, 2, -3], "int32"))
call("expand_dims", draw(()), -1)
call("expand_dims", draw(()), (0, -1))
call("tile", draw(()), 3)
call("repeat", draw(()), 3)
call("broadcast_to", draw(()), (2, 2))
call("stack", [draw(()), draw(())])
call("hstack", [draw(()), draw(())])
call("vstack", [draw(()), draw((1,))])
call("append", draw(()), draw((2,)))
call("where", True, 1, 2.5)
call("maximum", 1, 2.5)
call("logaddexp", 0, 0)
call("arctan2", 1, 2)
call("power", 2, 3)
call("power", 2, -1.0)
call("linspace", jnp.asarray(0, "int32"), jnp.asarray(5, "int8"), num=3)
call("clip", draw(()), -0.5, 0.5)
call("clip", draw((3,)), jnp.asarray([0.0, 1.0, -1.0]), INF)
call("round", draw(()), decimals=1)
call("one_hot", 2, 4, axis=0)
call("norm", draw((4,)), ord=2)
call("matmul", draw((4,)), draw((2, 4, 3)))
call("matmul", draw((2, 1, 3, 4)), draw((4,)))
call("select", [jnp.asarray(True)], [draw((2, 3))], 0)
call("digitize", 0.5, jnp.asarray([0.0, 1.0]))
call("searchsorted", jnp.asarray([0.0, 1.0]), 0.5)

# axes counted from the end, several at once, kept
for name in "sum mean max min std var prod any all amax amin logsumexp nansum nanmax".split():
    call(name, CUBE, axis=(-1, -3), keepdims=True)
    call(name, CUBE, axis=[-2])
for name in ("concatenate", "stack"):
    for axis in (-1, -2, -3):
        call(name, [CUBE, CUBE], axis=axis)
call("moveaxis", CUBE, (-1, -2), (0, 1))
call("swapaxes", CUBE, -1, -3)
call("transpose", CUBE, axes=(-1, -3, -2))
call("squeeze", CUBE[:1, :, :1], axis=(-1, -3))
call("expand_dims", CUBE, (-1, -3, 0))
call("roll", CUBE, (1, -1), axis=(-1, -3))
call("flip", CUBE, axis=(-1, -3))
call("rot90", CUBE, axes=(-1, -3))
call("diagonal", CUBE, offset=-1, axis1=-1, axis2=-2)
call("trace", CUBE, offset=1, axis1=-1, axis2=-3)
call("tensordot", CUBE, CUBE, axes=((-1, -3), (2, 0)))
call("unstack", CUBE, axis=-2)
call("softmax", CUBE, axis=(-1, -3))
call("one_hot", jnp.asarray([[0, 3], [9, -1]], "int32"), 4, axis=-2)
call("take_along_axis", CUBE, jnp.asarray([[[1], [-1], [0]]], "int32"), axis=-1)
call("quantile", CUBE, 0.25, axis=(-1, -3), keepdims=True)
call("median", CUBE, axis=(-2, 0), keepdims=True)
call("argmax", CUBE, axis=-2, keepdims=True)
call("count_nonzero", CUBE, axis=(-1, 0))
call("moments", CUBE, axes=[-1, -3], keepdims=True)
call("array_split", CUBE, 3, axis=-1)
call("diff", CUBE, n=2, axis=-2)
call("logspace", draw((2,)), draw((2,)), num=3, axis=-1)
call("cumprod", CUBE, axis=-2)
call("sort", CUBE, axis=-2)
call("batch_normalization", CUBE, draw((3,)), jnp.abs(draw((3,))), -2)

# dtypes that meet
P = {d: draw((3,), d) for d in "float32 float16 bfloat16 int8 uint8 int16 uint16 int32 uint32 bool".split()}
for a in P:
    for b in P:
        if a < b:
            call("add", P[a], P[b])
    for number in (2, 2.5, True):
        call("multiply", P[a], number)
    call("mean", P[a], axis=-1)
    call("concatenate", [P[a], P["int8"]])
    call("where", jnp.asarray([True, False, True]), P[a], 1)
    call("einsum", "i,i->", P[a], P[a])
    call("true_divide", P[a], jnp.asarray([2, 3, 4], "uint8"))
    call("logaddexp", P[a], P["int8"])
    call("linspace", P[a], 3, num=3)
    call("average", P[a], weights=jnp.asarray([1.0, 2.0, 0.5]))
    call("matmul", P[a], P[a][:, None])
    call("cumsum", P[a])
    call("var", P[a])
    call("clip", P[a], 0, 2.5)
    call("full_like", P[a], 1.5)
    call("arctan2", P[a], 1)
    call("sqrt", jnp.abs(P[a]) if a != "bool" else P[a])
    call("quantile", P[a], 0.5)
    call("dot", P[a], P["float16"])
    call("select", [jnp.asarray([True, False, True])], [P[a]], 1)

# derivatives on edges
EDGES = jnp.asarray([0.0, 1.0, -1.0, 0.5, -0.5, 6.0, 3.0, -3.0, 2.5, -2.5])
for name in """relu relu6 leaky_relu elu celu selu hard_sigmoid hard_silu hard_tanh hard_shrink soft_shrink sparse_plus sparse_sigmoid abs sign
softsign sinc round floor square cbrt tanh_shrink squareplus log_sigmoid softplus mish_ sqrt logistic_ trunc""".split():
    if not name.endswith("_"):
        gradient(name, EDGES)
for name in "maximum minimum fmax fmin hypot arctan2 power mod divide_no_nan logaddexp".split():
    gradient(name, EDGES, EDGES[::-1])
    # not at the origin, where some have no derivative
    gradient(name, EDGES[1:], EDGES[1:])
gradient("logaddexp", jnp.asarray([0.0, 1000.0]), jnp.asarray([-1000.0, 1000.0]))
gradient("logsumexp", jnp.asarray([[0.0, -INF], [1000.0, 1000.0]]), axis=-1)
TIES = jnp.asarray([[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 2.0, 2.0, -1.0]])
for name in "max min amax amin ptp sort median std var prod cumprod softmax log_softmax sparsemax logsumexp normalize nanmax nanmin".split():
    gradient(name, TIES, **({} if name in ("sort", "normalize") else {"axis": -1}))
for ord in (None, 1, 2, 3, 2.5, INF, -INF, 0, -1):
    gradient("norm", TIES, ord=ord, axis=1)
    gradient("norm", CUBE + 0.03125, ord=ord, axis=-1)
for ord in (None, "fro", "nuc", 1, 2, -1, -2, INF, -INF):
    gradient("norm", CUBE + 0.03125, ord=ord, axis=(0, 2))
gradient("top_k", TIES, 2)
gradient("clip", EDGES, -0.5, 1.0)
gradient("where", EDGES > 0, EDGES, EDGES * 2)
gradient("max_pool", jnp.asarray([[1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]])[None, :, :, None], 2, strides=1)
gradient("segment_max", jnp.asarray([1.0, 1.0, 0.0, 2.0]), jnp.asarray([0, 0, 1, 1], "int32"), num_segments=3)
gradient("quantile", TIES, jnp.asarray([0.25, 0.5]), axis=-1)
gradient("cdist", TIES, TIES)
gradient("nanmean", jnp.asarray([[1.0, NAN, 2.0], [NAN, NAN, 3.0]]), axis=-1)
gradient("binary_crossentropy", jnp.asarray([0.0, 1.0, 0.5]), jnp.asarray([0.0, 1.0, 0.5]))
gradient("categorical_crossentropy", jnp.asarray([[1.0, 0.0], [0.5, 0.5]]), jnp.asarray([[1.0, 0.0], [0.0, 0.0]]))
gradient("batch_normalization", CUBE, jnp.zeros((4,)), jnp.zeros((4,)), -1)
gradient("layer_normalization", jnp.ones((2, 3)))
gradient("rms_normalization", jnp.zeros((2, 3)))

recorder.write("ops_corners.npz")
