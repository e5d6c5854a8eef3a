"""Writes ops_more.npz: calls of the numerical functions of keras.ops in all dtypes. Usage: ops_more.py [file]"""
import jax.numpy as jnp
import numpy as np
from recorder import Recorder

recorder = Recorder(20)
call, draw, gradient, random = recorder.call, recorder.draw, recorder.gradient, recorder.random

DTYPES = ["float32", "float16", "bfloat16", "int32", "int16", "int8", "uint8", "uint16", "uint32", "bool"]
SPECIAL = jnp.asarray([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 20.0, -90.0, np.inf, -np.inf, np.nan], "float32")

one = {dtype: [draw((4,), dtype), draw((2, 3), dtype)] for dtype in DTYPES}

UNARY = """abs absolute angle arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil conj conjugate copy cos cosh deg2rad exp exp2
expm1 fabs floor i0 imag isfinite isinf isnan isneginf isposinf isreal log log10 log1p log2 logical_not negative rad2deg real reciprocal
round sign signbit sin sinc sinh sqrt square tan tanh trunc ravel nan_to_num zeros_like ones_like squeeze transpose""".split()
for name in UNARY:
    for dtype in DTYPES:
        call(name, one[dtype][random.integers(2)])
    call(name, SPECIAL)
    call(name, draw(()))
    call(name, jnp.zeros((0, 3)))
for name in "bitwise_invert bitwise_not".split():
    for dtype in DTYPES[3:]:
        call(name, one[dtype][0])

PAIRS = [
    (draw((2, 1, 3)), draw((4, 1))),
    (SPECIAL[:, None], SPECIAL[None, :]),
    (draw((3,)), draw((2, 3), "int32")),
    (draw((2, 3), "int8"), draw((3,), "uint8")),
    (draw((2, 3), "uint8"), draw((), "int32")),
    (draw((2, 3), "int32"), draw((2, 3), "int32")),
    (draw((2, 3), "uint16"), draw((2, 3), "int16")),
    (draw((4,), "uint32"), draw((4,), "uint8")),
    (draw((4,), "bool"), draw((4,), "bool")),
    (draw((4,), "bool"), draw((4,), "int8")),
    (draw((4,), "bool"), draw((4,), "bfloat16")),
    (draw((4,), "float16"), draw((4,), "bfloat16")),
    (draw((4,), "float16"), draw((4,), "int32")),
    (draw((4,), "float16"), 2.5),
    (draw((4,), "int8"), 2.5),
    (draw((4,), "int8"), 3),
    (draw((4,), "bool"), 2),
    (draw((4,), "uint8"), 2),
    (3, draw((2, 2), "bfloat16")),
    (2, 3.5),
    (jnp.zeros((0, 3)), draw((3,))),
]
BINARY = """add subtract multiply divide true_divide divide_no_nan floor_divide mod fmod power maximum minimum fmax fmin heaviside arctan2
hypot logaddexp logaddexp2 nextafter equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor isclose
allclose bitwise_and bitwise_or bitwise_xor bitwise_left_shift left_shift bitwise_right_shift right_shift gcd lcm ldexp isin outer
kron append""".split()
for name in BINARY:
    for a, b in PAIRS:
        if "shift" in name and not isinstance(b, (int, float)):
            b = jnp.abs(b) if b.dtype != bool else b
        if name in ("floor_divide", "mod", "fmod") and not isinstance(b, int) and not jnp.issubdtype(jnp.result_type(a, b), jnp.floating):
            # of a division by zero every machine has its own result
            b = jnp.where(jnp.asarray(b) == 0, jnp.ones_like(b), b)
        if name == "power" and not isinstance(b, (int, float)):
            # of an integer to a negative power every machine has its own result; an integer scalar is a special case in jax
            b = jnp.abs(b) if jnp.issubdtype(b.dtype, jnp.integer) else b
            b = b if b.shape else b[None]
        call(name, a, b)
call("gcd", jnp.asarray([1836311903, 12, 0, 0, -18], "int32"), jnp.asarray([1134903170, 18, 5, 0, 24], "int32"))
for kwargs in ({"rtol": 0.5}, {"atol": 0.5}, {"equal_nan": True}):
    for name in ("isclose", "allclose"):
        call(name, SPECIAL, SPECIAL + 0.25, **kwargs)
call("isin", draw((2, 3), "int32"), draw((4,), "int32"), invert=True)
for x, low, high in ((draw((2, 3)), -0.5, 0.75), (draw((2, 3)), draw((3,)), draw((2, 1))), (draw((4,), "int32"), -2, 2),
                     (draw((4,), "int8"), -1.5, 2), (draw((4,), "bool"), 0, 1), (draw((4,), "uint8"), 1, 3),
                     (draw((4,), "bfloat16"), -1, 1), (SPECIAL, -1.0, 1.0), (draw((3,)), 1.0, -1.0)):
    call("clip", x, low, high)
for c, a, b in ((draw((2, 3), "bool"), draw((2, 3)), draw((3,))), (draw((2, 1), "int32"), draw((3,), "int8"), 2.5),
                (draw((3,)), draw((3,), "uint8"), draw((), "int8")), (draw((3,), "bool"), 1, 2.0)):
    call("where", c, a, b)
call("select", [draw((3,), "bool"), draw((2, 3), "bool")], [draw((2, 3)), draw((3,), "int32")], 7)
call("select", [draw((3,), "bool")], [draw((3,), "int8")], 1.5)
for decimals in (1, 3, -1):
    call("round", draw((2, 3)) * 37.3, decimals=decimals)
    call("round", draw((2, 3), "int32") * 13, decimals=decimals)
    call("round", draw((4,), "bfloat16"), decimals=decimals)
call("nan_to_num", SPECIAL, nan=2.0, posinf=3.0, neginf=-4.0)
for a, b in (("float32", "int32"), ("float32", "uint8"), ("int8", "int32"), ("uint16", "float16"), ("int32", "bfloat16")):
    call("view", draw((2, 4), a), dtype=b)

CUBE = {dtype: draw((2, 3, 4), dtype) for dtype in DTYPES}
HOLES = jnp.where(draw((2, 3, 4), "bool"), CUBE["float32"], np.nan).at[0, :, 1].set(np.nan)
REDUCTIONS = "sum mean max min prod std var all any amax amin ptp argmax argmin".split()
NAN_REDUCTIONS = "nanmax nanmin nansum nanmean nanprod nanstd nanvar nanargmax nanargmin".split()
for name in REDUCTIONS + NAN_REDUCTIONS + ["count_nonzero", "median", "nanmedian"]:
    one_axis = "arg" in name
    axes = [None, 0, 1, -1] if one_axis else [None, 0, -2, (0, 2), (-1, 1), ()]
    for dtype in DTYPES:
        call(name, CUBE[dtype])
        call(name, CUBE[dtype], axis=axes[random.integers(1, len(axes))])
    for axis in axes:
        for x in [CUBE["float32"]] + ([HOLES] if name.startswith("nan") else []):
            call(name, x, axis=axis)
            if name != "count_nonzero":
                call(name, x, axis=axis, keepdims=True)
    call(name, draw(()))
    call(name, draw((1, 3)), axis=0)
    call(name, jnp.zeros((0, 3)), axis=0)
    call(name, jnp.zeros((0, 3)), axis=1)
call("argmax", jnp.asarray([-0.0, 0.0, -1.0]))
call("argmin", jnp.asarray([0.0, -0.0, 1.0]))
for dtype in ("int32", "float32"):
    call("prod", CUBE["int8"], axis=1, dtype=dtype)
for name, initial in (("max", 0.5), ("min", 0.5)):
    call(name, CUBE["float32"], axis=1, initial=initial)
    call(name, jnp.zeros((0, 3)), axis=0, initial=initial)
for dtype in DTYPES:
    call("average", CUBE[dtype], axis=1)
call("average", CUBE["float32"])
call("average", CUBE["float32"], axis=1, weights=jnp.asarray([1.0, 2.0, 0.5]))
call("average", CUBE["float32"], weights=jnp.abs(CUBE["float32"]))
call("average", CUBE["int8"], axis=(0, 1), weights=jnp.abs(draw((2, 3))))
for x in (draw((3, 6)), draw((5,)), draw((2, 6), "int32"), draw((3, 5), "bfloat16")):
    call("corrcoef", x)
for dtype in ("float32", "int32", "bfloat16"):
    call("trapezoid", CUBE[dtype])
call("trapezoid", CUBE["float32"], dx=0.5, axis=1)
call("trapezoid", CUBE["float32"], x=jnp.asarray([0.0, 0.5, 2.0]), axis=1)
call("trapezoid", CUBE["float32"], x=jnp.sort(CUBE["float32"], axis=-1))
for side in ("left", "right"):
    call("searchsorted", jnp.asarray([-1.0, 0.0, 0.0, 2.0]), SPECIAL, side=side)
    call("searchsorted", jnp.asarray([-3, 0, 2], "int32"), draw((2, 3), "int32"), side=side)
call("digitize", SPECIAL, jnp.asarray([-1.0, 0.0, 0.5, 2.0]))
call("digitize", SPECIAL, jnp.asarray([2.0, 0.5, 0.0, -1.0]))
call("digitize", draw((2, 3), "int32"), jnp.asarray([-2, 0, 3], "int32"))
for x in (draw((20,)), draw((9,), "int32"), jnp.ones((4,))):
    call("histogram", x)
    call("histogram", x, bins=3, range=(-1.0, 1.5))
MANY = jnp.sort(draw((37,)))
for side in ("left", "right"):
    call("searchsorted", MANY, jnp.concatenate([SPECIAL, MANY]), side=side)
call("digitize", SPECIAL, jnp.linspace(-2.0, 2.0, 21))
call("digitize", SPECIAL, jnp.linspace(2.0, -2.0, 21))
call("histogram", draw((50,)), bins=23)
call("bincount", jnp.asarray([3, -1, 0, 3], "int32"))
call("bincount", draw((9,), "uint8"))
call("bincount", draw((9,), "uint8"), minlength=12)
call("bincount", draw((9,), "uint8"), weights=draw((9,)))
call("bincount", jnp.asarray([[0, 2, 2], [1, 1, 2]], "int32"))

X, V, M = CUBE["float32"], draw((5,)), draw((3, 4))
for shape in ((6, 4), (-1,), (2, -1, 2), (24, 1), (4, 3, 2)):
    call("reshape", X, shape)
for shape in ((2, 3, 4), (5, 2, 3, 4)):
    call("broadcast_to", X, shape)
call("broadcast_to", draw((3, 1), "int8"), (2, 3, 4))
for axis in (0, 1, -1, 3, (0, 2), (-1, 0)):
    call("expand_dims", X, axis)
for axis in (None, 0, -1, (0, 2)):
    call("squeeze", draw((1, 3, 1)), axis=axis)
for axes in ((0, 2, 1), (2, 0, 1), (-1, 0, 1)):
    call("transpose", X, axes=axes)
for a, b in ((0, 1), (-1, 0)):
    call("swapaxes", X, a, b)
for a, b in ((0, 2), (-1, 0), ((0, 1), (2, 0)), ((2, 0), (-2, -1))):
    call("moveaxis", X, a, b)
for axis in (None, 0, -1, (0, 2)):
    call("flip", X, axis=axis)
call("fliplr", X)
call("flipud", X)
for k in (0, 1, 2, 3, -1):
    call("rot90", X, k=k)
    call("rot90", X, k=k, axes=(2, 1))
for shift, axis in ((1, None), (-7, None), (2, 1), (-1, -1), ((1, -2), (0, 2)), (1, (0, 1))):
    call("roll", X, shift, axis=axis)
for repeats, axis in ((2, None), (3, 1), (0, 1), ([1, 2, 0], 1), ([2, 1], 0)):
    call("repeat", X, np.array(repeats, "int32") if isinstance(repeats, list) else repeats, axis=axis)
for repeats in (2, (2, 1), (1, 2, 1, 2), (2, 0, 1)):
    call("tile", X, repeats)
for n, axis in ((1, -1), (2, 1), (0, 0), (3, 1), (1, 0)):
    call("diff", X, n=n, axis=axis)
    call("diff", CUBE["bool"], n=n, axis=axis)
for offset, a, b in ((0, 0, 1), (1, 0, 1), (-1, 1, 2), (2, -1, 0), (5, 0, 1)):
    call("diagonal", X, offset=offset, axis1=a, axis2=b)
    for dtype in ("float32", "int8", "bool"):
        call("trace", CUBE[dtype], offset=offset, axis1=a, axis2=b)
for mode in "constant edge reflect symmetric wrap linear_ramp maximum minimum mean empty".split():
    for width in (1, ((1, 2), (0, 0), (3, 0)), ((2, 2), (3, 3), (5, 4))):
        if mode != "empty":
            call("pad", X, width, mode=mode)
    if mode not in ("empty", "linear_ramp"):
        call("pad", CUBE["int32"], ((1, 2), (2, 1), (0, 1)), mode=mode)
call("pad", X, 2, constant_values=1.5)
call("pad", CUBE["uint8"], 1, constant_values=3)
call("pad", V, (1, 2))
MIXED = [draw((2, 3)), draw((2, 3), "int8")]
for name in "concatenate stack vstack hstack dstack".split():
    call(name, MIXED)
    call(name, [draw((3,), "uint8"), draw((3,), "int8")])
for axis in (1, -1):
    call("concatenate", MIXED, axis=axis)
    call("stack", MIXED, axis=axis)
call("append", M, M, axis=0)
for sections, axis in ((3, 1), ((1, 2), 1), (2, -1), ((0, 3), 2)):
    call("split", X, sections, axis=axis)
    if isinstance(sections, int):
        call("array_split", X, sections, axis=axis)
call("array_split", X, 3, axis=2)
call("vsplit", X, 2)
call("hsplit", X, 3)
call("hsplit", V, 5)
call("dsplit", X, (1, 3))
for indexing in ("xy", "ij"):
    call("meshgrid", V, draw((3,), "int32"), indexing=indexing)
    call("meshgrid", V, draw((3,)), draw((2,)), indexing=indexing)
call("meshgrid", V)

for shape in ((2, 3), (), (0, 2)):
    for name in ("zeros", "ones"):
        call(name, shape)
        call(name, shape, dtype="int8")
    call("full", shape, 2.5)
    call("full", shape, 3, dtype="int32")
call("full", (2, 3), draw((3,), "int32"))
call("full_like", CUBE["int8"], 2.75)
call("full_like", M, 2, dtype="bfloat16")
call("zeros_like", M, dtype="bool")
call("ones_like", M, dtype="uint8")
call("array", M, dtype="int32")
for args in ((5,), (2, 11, 3), (11, 2, -3), (0.5, 2.0, 0.25), (3, 3), (2.5,), (5, 0), (1, 4, 0.5)):
    call("arange", *args)
call("arange", 4, dtype="float32")
call("arange", 0, 1, 0.1, dtype="bfloat16")
for name in ("eye", "tri"):
    for kwargs in ({}, {"M": 5}, {"k": 1}, {"M": 2, "k": -1}, {"dtype": "int32"}):
        call(name, 3, **kwargs)
call("identity", 3)
call("identity", 2, dtype="bool")
for name in ("tril", "triu"):
    for k in (0, 1, -2):
        call(name, X, k=k)
        call(name, CUBE["int8"], k=k)
for k in (0, 1, -2):
    call("diag", V, k=k)
    call("diag", M, k=k)
    call("diagflat", draw((2, 2), "int32"), k=k)
for kwargs in ({}, {"N": 3}, {"increasing": True}, {"N": 2, "increasing": True}):
    call("vander", V, **kwargs)
    call("vander", draw((3,), "int32"), **kwargs)
for a, b in ((0.0, 1.0), (2, 10), (draw((2,)), draw((2,)))):
    for kwargs in ({"num": 5}, {"num": 4, "endpoint": False}, {"num": 1}, {"num": 0}, {"num": 4, "axis": -1}):
        call("linspace", a, b, **kwargs)
        call("logspace", a, b, **kwargs)
call("linspace", 0, 10, num=4, dtype="int32")
call("linspace", 0.0, 10.0, num=4, retstep=True)
call("linspace", 0.0, 10.0, num=4, retstep=True, endpoint=False)
call("logspace", 0.0, 3.0, num=4, base=2)
for a, b in ((1.0, 1000.0), (-1.0, -8.0), (draw((2,)) ** 2 + 1, draw((2,)) ** 2 + 3)):
    for kwargs in ({"num": 4}, {"num": 3, "endpoint": False}):
        call("geomspace", a, b, **kwargs)
for name in ("bartlett", "blackman", "hamming", "hanning"):
    for count in (0, 1, 2, 7):
        call(name, count)
call("kaiser", 7, 4.5)
call("kaiser", 1, 2.0)

for a, b in (((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 3)),
             ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((1, 3, 4), (2, 4, 2))):
    call("matmul", draw(a), draw(b))
    call("dot", draw(a), draw(b))
for name in "matmul dot inner vdot".split():
    for p, q in (("int8", "int8"), ("int32", "int32"), ("uint8", "int8"), ("float16", "float16"), ("bfloat16", "float32"),
                 ("int8", "float16"), ("bool", "int32")):
        call(name, draw((3, 3), p), draw((3, 3), q))
call("dot", draw(()), M)
call("inner", draw((2, 4)), draw((3, 4)))
call("inner", draw((2, 3, 4)), draw((4,)))
call("vdot", draw((2, 3)), draw((2, 3)))
for axes in (1, 2, 0, ((0, 1), (1, 0)), ((1,), (0,))):
    call("tensordot", draw((3, 3)), draw((3, 3)), axes=axes)
call("tensordot", draw((2, 3, 4)), draw((4, 3, 2)), axes=((1, 2), (1, 0)))
for a, b in (((2, 3), (2, 2)), ((3,), (2, 2)), ((2, 1, 2), (3,))):
    call("kron", draw(a), draw(b))
for text, *shapes in (("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("ij->ji", (2, 3)),
                      ("ij->", (2, 3)), ("ijk->k", (2, 3, 4)), ("...ij,...jk->...ik", (2, 3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
                      ("i,j->ij", (3,), (4,)), ("i,i->i", (3,), (3,)), ("i,i", (3,), (3,)), ("abc,cd,de->abe", (2, 3, 4), (4, 2), (2, 3)),
                      ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)), ("...i->...", (2, 3, 4)), ("ba", (2, 3)), ("ij,ij->", (2, 3), (2, 3)),
                      ("...a,...a->...", (2, 1, 3), (4, 3)), ("iij,jk->ik", (3, 3, 4), (4, 2)), ("i , i j -> j", (2,), (2, 3))):
    call("einsum", text, *[draw(shape) for shape in shapes])
call("einsum", "ij,jk->ik", draw((2, 3), "int8"), draw((3, 2), "int8"))
call("einsum", "ij,jk->ik", draw((2, 3), "int8"), draw((3, 2), "float16"))
for a, b in (((4, 3), (4, 3)), ((4, 2), (4, 2)), ((4, 2), (4, 3)), ((3,), (3,)), ((2, 1, 3), (4, 3))):
    call("cross", draw(a), draw(b))
call("cross", draw((3, 4)), draw((3, 4)), axisa=0, axisb=0)
call("cross", draw((3, 4)), draw((3, 4)), axisa=0, axisb=0, axisc=0)
call("cross", draw((3, 4)), draw((3, 4)), axis=0)
call("cross", draw((3,), "int32"), draw((3,), "int8"))
for mode in ("valid", "same", "full"):
    for a, b in ((6, 3), (3, 6), (5, 2), (4, 4)):
        call("correlate", draw((a,)), draw((b,)), mode=mode)
    call("correlate", draw((5,), "int32"), draw((2,), "int32"), mode=mode)

for axis in (0, 1, -1, None):
    for name in ("cumsum", "cumprod", "nancumsum", "nancumprod"):
        call(name, HOLES if name.startswith("nan") else X, axis=axis)
        call(name, CUBE["int8"], axis=axis)
    for name in ("sort", "argsort"):
        if axis is not None:
            call(name, X, axis=axis)
            call(name, CUBE["int8"], axis=axis)
    call("take_along_axis", X, jnp.abs(draw((2, 3, 4), "int32")) % (24 if axis is None else 2), axis=axis) if axis is not None else None
    call("take", X, jnp.asarray([[0, 1], [-1, 1]], "int32"), axis=axis)
call("cumsum", CUBE["bool"], axis=1)
call("cumsum", CUBE["int32"], axis=1, dtype="float32")
call("sort", SPECIAL)
call("argsort", SPECIAL)
call("argpartition", jnp.asarray([3.0, 1.0, 2.0, 5.0]), 1)
for name, qs in (("quantile", (0.3, jnp.asarray([0.0, 0.25, 1.0]))), ("percentile", (30.0, jnp.asarray([0.0, 25.0, 100.0]))),
                 ("nanquantile", (0.3, jnp.asarray([0.0, 0.25, 1.0]))), ("nanpercentile", (30.0, jnp.asarray([0.0, 25.0])))):
    for q in qs:
        for axis in (None, 1, -1, (0, 2)):
            call(name, HOLES if name.startswith("nan") else X, q, axis=axis)
        for method in ("lower", "higher", "nearest", "midpoint"):
            call(name, X, q, axis=1, method=method)
        call(name, X, q, axis=1, keepdims=True)
        call(name, CUBE["int32"], q, axis=2)
call("unique", jnp.asarray([3, 1, 3, 2, 1], "int32"))
call("unique", jnp.asarray([3, 1, 3, 2, 1], "int32"), return_index=True, return_inverse=True, return_counts=True)
call("unique", jnp.asarray([3, 1, 3, 2, 1], "int32"), size=5, fill_value=-1)
call("unique", draw((3, 4), "int8"))
call("nonzero", draw((3, 4), "bool"))
call("unravel_index", jnp.asarray([0, 5, 23, -1], "int32"), (2, 3, 4))
for key in ((0,), (-1, 1), (0, 2, -3)):
    call("get_item", X, key)

INSIDE = jnp.asarray([[-0.75, -0.125, 0.25], [0.5, 0.0625, 0.875]])
for name in """abs absolute arcsin arcsinh arctan arccos arctanh cbrt cos cosh deg2rad exp exp2 expm1 fabs i0 log1p negative rad2deg reciprocal
sin sinc sinh square tan tanh ravel copy real""".split():
    gradient(name, INSIDE)
for name in "sqrt log log2 log10 arccosh".split():
    gradient(name, jnp.abs(draw((2, 3))) + 1.25)
gradient("sinc", jnp.asarray([0.0, 1.0, -0.5]))
gradient("square", jnp.zeros((2,)))
gradient("nan_to_num", SPECIAL)
for name in "add subtract multiply divide true_divide divide_no_nan mod fmod maximum minimum fmax fmin arctan2 hypot logaddexp logaddexp2".split():
    gradient(name, draw((2, 1, 3)) + 0.03125, draw((4, 1)) * 2 + 0.09375)
gradient("maximum", jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([1.0, 3.0, 2.0]))
gradient("divide_no_nan", jnp.asarray([1.0, 2.0]), jnp.asarray([0.0, 2.0]))
gradient("power", jnp.abs(draw((2, 3))) + 0.5, draw((3,)))
gradient("power", draw((2, 3)), 2)
gradient("clip", draw((2, 3)) + 0.03125, -0.5, 0.75)
gradient("where", draw((2, 3), "bool"), draw((2, 3)), draw((3,)))
gradient("select", [draw((3,), "bool"), draw((2, 3), "bool")], [draw((2, 3)), draw((3,))], 7.0)
ZERO = CUBE["float32"].at[0, 0, 0].set(0.0).at[0, 1, 0].set(0.0)
for name in "sum mean max min prod std var amax amin ptp median".split():
    for axis in (None, 0, -1) + (() if name == "median" else ((0, 2),)):
        gradient(name, CUBE["float32"] + jnp.linspace(0, 0.03, 24).reshape((2, 3, 4)), axis=axis)
gradient("max", jnp.asarray([[1.0, 1.0, 0.0]]), axis=1)
gradient("prod", ZERO, axis=0)
gradient("prod", ZERO, axis=1)
for name in "nanmax nanmin nansum nanmean nanprod nanstd nanvar".split():
    gradient(name, HOLES + jnp.linspace(0, 0.03, 24).reshape((2, 3, 4)), axis=(0, 1))
gradient("average", CUBE["float32"], axis=1, weights=jnp.asarray([1.0, 2.0, 0.5]))
gradient("corrcoef", draw((3, 6)))
gradient("trapezoid", CUBE["float32"], x=jnp.asarray([0.0, 0.5, 2.0]), axis=1)
for q in (0.3, jnp.asarray([0.1, 0.8])):
    gradient("quantile", CUBE["float32"] + jnp.linspace(0, 0.03, 24).reshape((2, 3, 4)), q, axis=1)
for axis in (0, 1):
    for name in ("cumsum", "cumprod", "sort"):
        gradient(name, CUBE["float32"] + jnp.linspace(0, 0.03, 24).reshape((2, 3, 4)), axis=axis)
gradient("cumprod", ZERO, axis=1)
gradient("take", X, jnp.asarray([[0, 1], [1, 1]], "int32"), axis=1)
gradient("take_along_axis", X, jnp.abs(draw((2, 3, 4), "int32")) % 2, axis=1)
gradient("reshape", X, (4, -1))
gradient("transpose", X)
gradient("moveaxis", X, 0, 2)
gradient("flip", X, axis=1)
gradient("rot90", X, k=3)
gradient("roll", X, 2, axis=1)
gradient("repeat", X, 2, axis=1)
gradient("tile", X, (2, 1, 2))
gradient("diff", X, n=2, axis=1)
gradient("diagonal", X, offset=1)
gradient("trace", X)
gradient("broadcast_to", draw((3, 1)), (2, 3, 4))
gradient("get_item", X, (0, -1))
gradient("concatenate", [draw((2, 3)), draw((1, 3))])
gradient("stack", [draw((2, 3)), draw((2, 3))], axis=1)
gradient("split", X, 3, axis=1)
gradient("meshgrid", V, draw((3,)))
for mode in ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean"):
    gradient("pad", X, ((1, 2), (0, 0), (2, 0)), mode=mode)
gradient("tril", X)
gradient("triu", X, k=1)
gradient("diag", V, k=1)
gradient("diag", M)
gradient("vander", jnp.abs(V) + 0.5)
gradient("linspace", draw((2,)), draw((2,)), num=5)
for a, b in (((3, 4), (4, 2)), ((4,), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,))):
    gradient("matmul", draw(a), draw(b))
    gradient("dot", draw(a), draw(b))
gradient("inner", draw((2, 4)), draw((3, 4)))
gradient("outer", V, draw((3,)))
gradient("vdot", V, V)
gradient("tensordot", draw((2, 3, 4)), draw((4, 3, 2)), axes=((1, 2), (1, 0)))
gradient("kron", draw((2, 3)), draw((2, 2)))
gradient("cross", draw((4, 3)), draw((4, 3)))
gradient("correlate", draw((6,)), draw((3,)), mode="same")
for text, *shapes in (("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)), ("ii->i", (3, 3)), ("abc,cd,de->abe", (2, 3, 4), (4, 2), (2, 3)),
                      ("...a,...a->...", (2, 1, 3), (4, 3))):
    gradient("einsum", text, *[draw(shape) for shape in shapes])

recorder.write("ops_more.npz")
