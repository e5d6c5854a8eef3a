"""Writes ops_nn.npz: calls of keras.ops' functions of neural networks, images, positions and sequences. Usage: ops_nn.py [file]"""
import jax.numpy as jnp
import numpy as np
from recorder import Recorder

recorder = Recorder(21)
call, draw = recorder.call, recorder.draw
positive = lambda shape: jnp.abs(draw(shape)) + 0.0625
unit = lambda shape, dtype="float32": jnp.asarray(np.round(recorder.random.random(shape) * 64) / 64, dtype)

SPECIAL = jnp.asarray([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 20.0, -90.0, 6.0, np.inf, -np.inf, np.nan], "float32")
for name in """relu relu6 sigmoid softplus softsign silu swish log_sigmoid hard_sigmoid hard_silu hard_swish hard_tanh selu tanh_shrink
sparse_sigmoid sparse_plus leaky_relu elu celu gelu hard_shrink soft_shrink squareplus erf erfc erfinv rsqrt""".split():
    call(name, SPECIAL)
    for dtype in ("float32", "float16", "bfloat16", "int32"):
        call(name, draw((2, 3), dtype))
    call(name, draw(()))
call("leaky_relu", draw((5,)), negative_slope=0.5)
call("elu", draw((5,)), alpha=0.5)
call("celu", draw((5,)), alpha=2.0)
call("gelu", draw((5,)), approximate=False)
call("hard_shrink", draw((5,)), threshold=1.0)
call("soft_shrink", draw((5,)), threshold=1.0)
call("squareplus", draw((5,)), b=0.5)
call("threshold", draw((2, 5)), 0.25, -1.0)
for axis in (-1, 0):
    call("glu", draw((4, 6)), axis=axis)
for name in ("softmax", "log_softmax"):
    for axis in (-1, 0, (0, 2), (2, 1), (0, 1, 2)):
        call(name, draw((2, 3, 4)), axis=axis)
    for dtype in ("float16", "bfloat16"):
        call(name, draw((2, 5), dtype))
    call(name, jnp.asarray([[1000.0, 0.0, -1000.0], [-np.inf, 0.0, 1.0]]))
for axis in (-1, 0, 1):
    call("sparsemax", draw((2, 3, 4)), axis=axis)

C = jnp.asarray([[0, 2, -1], [4, 5, 1]], "int32")
for axis in (-1, 0, 1):
    call("one_hot", C, 5, axis=axis)
call("one_hot", C, 4, dtype="int32")
call("one_hot", C.astype("uint8"), 6, dtype="bool")
call("one_hot", jnp.asarray(2), 3)
call("multi_hot", C, 6)
call("multi_hot", C[0], 4, dtype="int32")
call("multi_hot", jnp.ones((2, 3, 2), "int32"), 3)

P, T = unit((3, 4)) + 0.015625, unit((3, 4))
for kwargs in ({}, {"from_logits": True}):
    call("binary_crossentropy", T, unit((3, 4)), **kwargs)
    call("categorical_crossentropy", T, P, **kwargs)
    call("categorical_crossentropy", T, P, axis=0, **kwargs)
    call("sparse_categorical_crossentropy", jnp.asarray([0, 3, 2], "int32"), P, **kwargs)
    call("sparse_categorical_crossentropy", jnp.asarray([[0], [7], [-1]], "int32"), P, **kwargs)
call("binary_crossentropy", T, 4 * draw((3, 4)), from_logits=True)
call("categorical_crossentropy", T.astype("float16"), P.astype("float16"))

X = draw((2, 3, 4))
for axes in ([0], [0, 1], [-1], [1, 2]):
    call("moments", X, axes=axes)
    call("moments", X, axes=axes, keepdims=True)
for dtype in ("float16", "bfloat16"):
    call("moments", draw((3, 4), dtype), axes=[0])
call("batch_normalization", X, draw((3,)), positive((3,)), 1)
call("batch_normalization", X, draw((4,)), positive((4,)), -1, offset=draw((4,)), scale=draw((4,)), epsilon=0.125)
call("batch_normalization", X, draw((4,)), positive((4,)), 2, scale=draw((4,)))
for axis in (-1, 1, (1, 2), (0, 2)):
    call("layer_normalization", X, axis=axis)
    call("rms_normalization", X, axis=axis)
    call("normalize", X, axis=axis)
call("layer_normalization", X, draw((4,)), draw((4,)), epsilon=0.01)
call("layer_normalization", X, gamma=draw((3,)), axis=1)
call("layer_normalization", X, beta=draw((3, 4)), axis=(1, 2))
call("layer_normalization", X.astype("bfloat16"), draw((4,)), draw((4,)))
call("rms_normalization", X, draw((4,)), epsilon=0.01)
call("rms_normalization", X.astype("float16"))
call("rms_normalization", draw(()))
for order in (1, 3):
    call("normalize", X, order=order)
call("normalize", jnp.zeros((2, 3)))
call("normalize", X, epsilon=4.0)
call("psnr", unit((2, 3)), unit((2, 3)), 1.0)

Q, K, V = draw((2, 3, 4, 5)), draw((2, 6, 4, 5)), draw((2, 6, 4, 2))
call("dot_product_attention", Q, K, K)
call("dot_product_attention", Q, K, V[..., :1].repeat(5, -1), scale=0.5)
call("dot_product_attention", Q, Q, Q, is_causal=True)
call("dot_product_attention", Q, K, K, bias=draw((2, 4, 3, 6)), mask=draw((2, 4, 3, 6), "bool"))
call("dot_product_attention", Q, K, K, mask=draw((1, 1, 3, 6), "bool"))
call("dot_product_attention", Q, K[:, :, :2], K[:, :, :2])
call("dot_product_attention", Q.astype("bfloat16"), K.astype("bfloat16"), K.astype("bfloat16"))

for spatial in (1, 2, 3):
    extent, small = (6, 5, 4)[:spatial], (3, 2, 2)[:spatial]
    images = draw((2, *extent, 4))
    first = jnp.moveaxis(images, -1, 1)
    for kwargs in ({}, {"padding": "same"}, {"strides": 2, "padding": "same"}, {"strides": small}, {"dilation_rate": 2, "padding": "same"}):
        call("conv", images, draw((*small, 4, 3)), **kwargs)
        call("depthwise_conv", images, draw((*small, 4, 2)), **kwargs)
        call("conv_transpose", images, draw((*small, 3, 4)), **kwargs)
        if spatial < 3:
            call("separable_conv", images, draw((*small, 4, 2)), draw((*(1,) * spatial, 8, 3)), **kwargs)
            call("conv", first, draw((*small, 4, 3)), data_format="channels_first", **kwargs)
            call("conv_transpose", first, draw((*small, 3, 4)), data_format="channels_first", **kwargs)
    call("conv", images, draw((*small, 2, 6)))
    for kwargs in ({"strides": 3}, {"strides": 3, "padding": "same"}, {"strides": 3, "output_padding": 1, "padding": "same"}, {"strides": 2, "output_padding": 1}):
        call("conv_transpose", images, draw((*small, 3, 4)), **kwargs)
    for name in ("max_pool", "average_pool"):
        # without strides Keras on JAX refuses what its layers take
        for kwargs in ({"strides": 2}, {"strides": 1}, {"strides": 2, "padding": "same"}, {"strides": 1, "padding": "same"}):
            call(name, images, 2, **kwargs)
        call(name, images, small, strides=2, padding="same")
        call(name, first, small, strides=small, data_format="channels_first")
    for name in ("adaptive_average_pool", "adaptive_max_pool"):
        for size in (1, 2, 3, 4, small):
            call(name, images, size)
        call(name, first, 2, data_format="channels_first")
call("conv", draw((1, 4, 4, 2), "bfloat16"), draw((2, 2, 2, 3), "bfloat16"))

for kwargs in ({}, {"padding": 1}, {"stride": 2}, {"dilation": 2}, {"padding": (1, 0), "stride": (2, 1), "dilation": (1, 2)}):
    columns = __import__("keras").ops.unfold(draw((2, 3, 6, 5)), (2, 3), **kwargs)
    call("unfold", draw((2, 3, 6, 5)), (2, 3), **kwargs)
    call("fold", draw(columns.shape), (6, 5), (2, 3), **kwargs)
call("unfold", draw((1, 2, 4, 4)), 2, stride=2)
for data_format, shape in (("channels_last", (2, 4, 6, 8)), ("channels_first", (2, 8, 4, 6))):
    call("depth_to_space", draw(shape), 2, data_format=data_format)
    call("space_to_depth", draw(shape), 2, data_format=data_format)

LOGITS = 2 * draw((3, 7, 5))
LABELS = jnp.asarray([[1, 2, 2, 3], [4, 4, 1, 0], [2, 1, 0, 0]], "int32")
call("ctc_loss", LABELS, LOGITS, jnp.asarray([4, 3, 2], "int32"), jnp.asarray([7, 6, 4], "int32"))
call("ctc_loss", LABELS - 1, LOGITS, jnp.asarray([4, 3, 0], "int32"), jnp.asarray([7, 3, 4], "int32"), mask_index=4)
call("ctc_loss", LABELS[:, :1], LOGITS, jnp.asarray([1, 1, 1], "int32"), jnp.asarray([7, 6, 1], "int32"))
for kwargs in ({}, {"merge_repeated": False}, {"mask_index": 4}):
    call("ctc_decode", LOGITS, jnp.asarray([7, 6, 4], "int32"), **kwargs)

for x, dtype in ((draw((4,)), "int32"), (draw((4,), "int8"), "float16"), (draw((4,)), "bool"), (draw((3,), "bool"), "float32"), (draw((4,)), "bfloat16")):
    call("cast", x, dtype)
WIDE = jnp.asarray([0.0, -1.5, 300.0, -300.0, 70000.0, -1e6, 1e20, -1e20, 1e39, np.inf, -np.inf], "float32")
for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "bfloat16", "bool"):
    call("saturate_cast", WIDE, dtype)
    if dtype != "bfloat16":  # of which Keras' limits overflow
        call("saturate_cast", jnp.asarray([0, -1, 1, 127, 128, -129, 255, 256, 40000, -40000, 2**31 - 1], "int32"), dtype)
    call("saturate_cast", jnp.asarray([0.0, -1.5, 300.0, -300.0, 60000.0], "float16"), dtype)
call("saturate_cast", draw((3,), "bool"), "int8")
call("convert_to_tensor", draw((2, 2)), dtype="int32")
call("stop_gradient", draw((2, 2)))

ROWS = jnp.asarray([[0], [2], [-1], [7], [0]], "int32")
PAIRS = jnp.asarray([[0, 1], [2, -1], [0, 1], [3, 9]], "int32")
call("scatter", ROWS, draw((5, 3)), (4, 3))
call("scatter", PAIRS, draw((4,)), (4, 3))
call("scatter", PAIRS.reshape(2, 2, 2), draw((2, 2, 3), "int32"), (4, 3, 3))
for reduction in (None, "add", "max", "min", "mul"):
    call("scatter_update", draw((4, 3)), ROWS[1:4], draw((3, 3)), reduction=reduction)
    if reduction:
        call("scatter_update", draw((4, 3)), PAIRS, draw((4,)), reduction=reduction)
call("scatter_update", draw((4, 3), "int32"), PAIRS[1:].reshape(1, 3, 2), draw((3, 1), "int32"))
for start, shape in (((0, 1, 2), (2, 2, 2)), ((1, 2, 3), (2, 2, 2)), ((0, 1, 1), (-1, 2, -1)), ((0, 0, 0), (2, 3, 4))):
    call("slice", X, start, shape)
    call("slice", X, jnp.asarray(start, "int32"), shape) if -1 not in shape else None
call("slice_update", X, jnp.asarray([0, 1, 2], "int32"), draw((2, 2, 2)))
call("slice_update", X, jnp.asarray([1, 2, 3], "int32"), draw((2, 2, 2)))
IDS = jnp.asarray([0, 2, 0, -1, 5, 1, 2], "int32")
for name in ("segment_sum", "segment_max", "segment_min", "segment_prod"):
    for dtype in ("float32", "int32", "uint8"):
        call(name, draw((7, 2), dtype), IDS, num_segments=4)
    call(name, draw((7,)), jnp.sort(jnp.abs(IDS)), num_segments=6, sorted=True)
PRED = jnp.asarray([[0.1, 0.5, 0.5, 0.2], [np.nan, 0.3, 0.2, 0.1], [0.0, 1.0, 2.0, 3.0], [0.4, 0.1, 0.1, 0.1]], "float32")
for k in (1, 2, 4):
    call("in_top_k", jnp.asarray([2, 0, 1, -1], "int32"), PRED, k)
    call("in_top_k", jnp.asarray([1, 3, 3, 9], "int32"), PRED, k)
for k in (1, 3):
    call("top_k", draw((2, 3, 5)), k)
    call("top_k", draw((6,), "int32"), k)
call("top_k", SPECIAL, 4)

for axis in (None, 0, (0, 2), -1):
    call("logsumexp", X, axis=axis)
    call("logsumexp", X, axis=axis, keepdims=True)
call("logsumexp", jnp.asarray([[1000.0, 1000.0], [-np.inf, -np.inf], [-np.inf, 1.0]]), axis=1)
call("cdist", draw((3, 4)), draw((2, 4)))
call("cdist", draw((2, 3, 4)), draw((2, 5, 4)))
for length, stride in ((3, 1), (2, 2), (2, 3), (1, 2), (5, 4)):
    call("extract_sequences", draw((2, 9)), length, stride)
for axis in (0, 1, -1):
    call("unstack", draw((2, 3, 2)), axis=axis)
for pattern, lengths in (("b h w -> b w h", {}), ("b (h p) w -> b h (w p)", {"p": 3}), ("a b c -> (a b c)", {}), ("a b c -> c (b a)", {}),
                         ("b (x y) c -> (b x) c y", {"x": 3, "y": 2})):
    call("rearrange", draw((2, 6, 4)), pattern, **lengths)

IMAGES, BYTES = unit((2, 5, 6, 3)), draw((2, 5, 6, 3), "uint8") * 36
ONE = unit((5, 6, 3))
for name in ("rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb"):
    for images in (IMAGES, ONE, IMAGES.astype("float16"), jnp.zeros((1, 1, 3)), jnp.ones((1, 2, 3))):
        call("image." + name, images)
    call("image." + name, jnp.moveaxis(IMAGES, -1, 1), data_format="channels_first")
call("image.rgb_to_grayscale", BYTES)
for interpolation in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"):
    for size in ((8, 9), (3, 4), (5, 9), (2, 13)):
        call("image.resize", ONE, size, interpolation=interpolation)
        call("image.resize", ONE, size, interpolation=interpolation, antialias=True)
    call("image.resize", BYTES, (7, 4), interpolation=interpolation)
    call("image.resize", jnp.moveaxis(IMAGES, -1, 1), (4, 8), interpolation=interpolation, data_format="channels_first")
for size in ((4, 8), (8, 4), (3, 3), (10, 2)):
    for images in (ONE, BYTES):
        call("image.resize", images, size, crop_to_aspect_ratio=True)
        call("image.resize", images, size, pad_to_aspect_ratio=True)
        call("image.resize", images, size, pad_to_aspect_ratio=True, fill_value=2.0, interpolation="nearest")
for kwargs in ({"top_cropping": 1, "left_cropping": 2, "bottom_cropping": 1, "right_cropping": 0}, {"top_cropping": 1, "left_cropping": 2, "target_height": 3, "target_width": 3},
               {"bottom_cropping": 1, "right_cropping": 2, "target_height": 3, "target_width": 3}):
    call("image.crop_images", ONE, **kwargs)
    call("image.crop_images", BYTES, **kwargs)
    call("image.crop_images", IMAGES, data_format="channels_first", **{k: 0 if "cropping" in k else (6 if "height" in k else 3) for k in kwargs})
for kwargs in ({"top_padding": 1, "left_padding": 2, "bottom_padding": 1, "right_padding": 0}, {"top_padding": 1, "left_padding": 2, "target_height": 8, "target_width": 9},
               {"bottom_padding": 1, "right_padding": 2, "target_height": 9, "target_width": 9}):
    call("image.pad_images", ONE, **kwargs)
    call("image.pad_images", BYTES, data_format="channels_first", **kwargs)
for size, kwargs in ((2, {}), ((2, 3), {}), (3, {"strides": 1}), (2, {"strides": (2, 1), "padding": "same"}), (2, {"dilation_rate": 2, "strides": 1}), (3, {"padding": "same"})):
    call("image.extract_patches", ONE, size, **kwargs)
    call("image.extract_patches", IMAGES, size, **kwargs)
    call("image.extract_patches", jnp.moveaxis(IMAGES, -1, 1), size, data_format="channels_first", **kwargs)
VOLUME = draw((1, 4, 4, 3, 2))
for size, kwargs in ((2, {}), ((2, 1, 3), {"strides": 1}), ((2, 2, 2), {"padding": "same"})):
    call("image.extract_patches_3d", VOLUME, size, **kwargs)
    call("image.extract_patches_3d", VOLUME[0], size, **kwargs)
call("image.extract_patches", VOLUME, (2, 2, 2))
COORDINATES = jnp.asarray(np.round(recorder.random.uniform(-6, 11, (2, 3, 8)) * 8) / 8, "float32")
for order in (0, 1):
    for fill_mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
        call("image.map_coordinates", draw((5, 6)), COORDINATES, order, fill_mode=fill_mode)
    call("image.map_coordinates", draw((5, 6), "int32"), COORDINATES, order, fill_value=2)
call("image.map_coordinates", draw((9,)), COORDINATES[:1], 1, fill_mode="reflect")
call("image.map_coordinates", draw((3, 4, 5)), jnp.concatenate([COORDINATES, COORDINATES[:1]]), 1, fill_mode="mirror")
SMALL, FEW = IMAGES[:, :4, :5, :2], BYTES[:, :4, :5, :2]
TRANSFORMS = jnp.asarray([[1, 0.125, 0.5, -0.25, 1, 0.25, 0, 0], [0.5, 0, 1, 0, 2, -1, 0, 0]], "float32")
for interpolation in ("bilinear", "nearest"):
    for fill_mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
        call("image.affine_transform", SMALL, TRANSFORMS, interpolation=interpolation, fill_mode=fill_mode)
    call("image.affine_transform", SMALL[0], TRANSFORMS[0], interpolation=interpolation, fill_value=0.5)
    call("image.affine_transform", jnp.moveaxis(SMALL, -1, 1), TRANSFORMS, interpolation=interpolation, data_format="channels_first")
    call("image.affine_transform", FEW, TRANSFORMS, interpolation=interpolation)
for images, data_format in ((ONE, "channels_last"), (IMAGES, "channels_last"), (jnp.moveaxis(IMAGES, -1, 1), "channels_first"), (IMAGES, None)):
    for kernel_size, sigma in (((3, 3), (1.0, 1.0)), ((5, 3), (0.5, 2.0)), ((2, 1), (1.0, 1.0))):
        call("image.gaussian_blur", images, kernel_size, sigma, data_format=data_format)
    if images.ndim == 4:
        call("image.sobel_edges", images, data_format=data_format)
A, B = unit((2, 12, 13, 2)), unit((2, 12, 13, 2))
call("image.ssim", A, B)
call("image.ssim", A[0], B[0], filter_size=5, filter_sigma=1.0, max_val=2.0)
call("image.ssim", jnp.moveaxis(A, -1, 1), jnp.moveaxis(B, -1, 1), data_format="channels_first", k1=0.05, k2=0.1)
call("image.ssim", A, A)
for method in ("linear", "bicubic", "lanczos3", "lanczos5"):
    for antialias in (True, False):
        call("image.scale_and_translate", ONE, (8, 4, 3), jnp.asarray([1.5, 0.5]), jnp.asarray([0.25, -0.5]), (0, 1), method, antialias=antialias)

POINTS = jnp.asarray([[[0, 0], [0, 4], [5, 0], [5, 4]], [[1, 0], [0, 3], [5, 1], [4, 4]]], "float32")
TARGETS = jnp.asarray([[[0, 1], [1, 4], [4, 0], [5, 3]], [[0, 0], [0, 4], [5, 0], [5, 4]]], "float32")
for interpolation in ("bilinear", "nearest"):
    call("image.perspective_transform", SMALL, POINTS, TARGETS, interpolation=interpolation)
call("image.perspective_transform", SMALL[0], POINTS[0], TARGETS[0], fill_value=0.5)
call("image.perspective_transform", jnp.moveaxis(SMALL, -1, 1), POINTS, TARGETS, data_format="channels_first")
for kwargs in ({}, {"alpha": 2.0, "sigma": 1.0, "fill_mode": "constant"}, {"alpha": 4.0, "sigma": 0.5, "fill_mode": "nearest"}):
    call("image.elastic_transform", SMALL, seed=42, **kwargs)
call("image.elastic_transform", jnp.moveaxis(SMALL, -1, 1), alpha=2.0, sigma=1.0, seed=7, data_format="channels_first")

S = draw((2, 3, 3))
SPD = S @ jnp.swapaxes(S, -1, -2) + 2 * jnp.eye(3)
TALL, LOWER = draw((4, 3)), jnp.tril(draw((3, 3))) + 3 * jnp.eye(3)
for upper in (False, True):
    call("cholesky", SPD, upper=upper)
    call("cholesky_inverse", LOWER.T if upper else LOWER, upper=upper)
for name in ("det", "inv", "slogdet", "logdet"):
    call(name, SPD)
    call(name, SPD[0] - 3 * jnp.eye(3))
call("logdet", jnp.eye(5) * 2)
for a in (SPD, SPD[0]):
    call("solve", a, draw((3,)))
    call("solve", a, draw((3, 2)))
    call("lu_factor", a)
    call("qr", a)
call("solve", SPD, draw((2, 3, 2)))
call("solve_triangular", LOWER, draw((3,)), lower=True)
call("solve_triangular", LOWER.T, draw((3, 2)))
call("qr", TALL)
call("qr", TALL, mode="complete")
call("qr", TALL.T)
call("lu_factor", TALL)
call("svd", TALL, compute_uv=False)
for right in (draw((4,)), draw((4, 2))):
    call("lstsq", TALL, right)
call("lstsq", TALL.T, draw((3,)))
call("lstsq", TALL, draw((4,)), rcond=0.5)
for x in (TALL, SPD, jnp.asarray([[1.0, 2.0], [2.0, 4.0]])):
    call("matrix_rank", x)
    call("pinv", x)
call("matrix_rank", TALL, tol=3.0)
call("norm", X)
for ord in (None, 0, 1, 2, 3, -1, 2.5, float("inf"), -float("inf")):
    call("norm", X, ord=ord, axis=1)
for ord in (None, "fro", "nuc", 1, 2, -1, -2, float("inf"), -float("inf")):
    call("norm", X, ord=ord, axis=(0, 2))
    call("norm", X, ord=ord, axis=(2, 1), keepdims=True)
call("norm", draw((3,), "int32"))
call("norm", draw((3, 4)), ord=1)

for shape in ((8,), (2, 5), (2, 3, 4)):
    pair = (draw(shape), draw(shape))
    call("fft", pair)
    if len(shape) > 1:
        call("fft2", pair)
        call("ifft2", pair)
    for length in (None, 4, 7):
        call("rfft", pair[0], length)
        call("irfft", pair, length)
SIGNAL = draw((2, 20))
for kwargs in ({}, {"center": False}, {"window": "hamming"}, {"window": None}):
    call("stft", SIGNAL, 5, 2, 6, **kwargs)
    spectrum = __import__("keras").ops.stft(SIGNAL, 6, 3, 8, **kwargs)
    call("istft", spectrum, 6, 3, 8, **kwargs)
    call("istft", spectrum, 6, 3, 8, length=11, **kwargs)

gradient = recorder.gradient
INSIDE = jnp.asarray([[-0.75, -0.125, 0.25], [0.53125, 0.0625, 0.875]])
for name in """relu relu6 sigmoid softplus softsign silu log_sigmoid hard_sigmoid hard_silu hard_tanh selu tanh_shrink sparse_sigmoid
sparse_plus leaky_relu elu celu gelu hard_shrink soft_shrink squareplus softmax log_softmax sparsemax erf erfc erfinv logsumexp""".split():
    gradient(name, 1.25 * INSIDE if name != "erfinv" else INSIDE)
gradient("rsqrt", positive((2, 3)))
gradient("glu", draw((2, 4)))
for kwargs in ({}, {"from_logits": True}):
    gradient("binary_crossentropy", T, unit((3, 4)) * 0.5 + 0.25, **kwargs)
    gradient("categorical_crossentropy", T, P, **kwargs)
    gradient("sparse_categorical_crossentropy", jnp.asarray([0, 3, 2], "int32"), P, **kwargs)
gradient("moments", X, axes=[0, 2])
gradient("batch_normalization", X, draw((4,)), positive((4,)), 2)
gradient("layer_normalization", X, draw((4,)), draw((4,)))
gradient("rms_normalization", X, draw((4,)))
gradient("normalize", X)
gradient("normalize", X + 0.03125, order=3)
gradient("psnr", unit((2, 3)), unit((2, 3)) + 0.25, 1.0)
gradient("dot_product_attention", Q, K, K + 0.5)
gradient("dot_product_attention", Q, Q * 0.5, Q + 1, is_causal=True)
IMAGE, FIRST = draw((2, 5, 4, 2)), draw((2, 2, 5, 4))
for kwargs in ({}, {"padding": "same", "strides": 2}, {"dilation_rate": 2}):
    gradient("conv", IMAGE, draw((2, 2, 2, 3)), **kwargs)
    gradient("depthwise_conv", IMAGE, draw((2, 2, 2, 2)), **kwargs)
    gradient("conv_transpose", IMAGE, draw((2, 2, 3, 2)), **kwargs)
gradient("conv", FIRST, draw((3, 2, 1, 4)), data_format="channels_first")
gradient("separable_conv", IMAGE, draw((2, 2, 2, 2)), draw((1, 1, 4, 3)))
DISTINCT = jnp.asarray(recorder.random.permutation(80).reshape((2, 5, 4, 2)) / 16, "float32")
for kwargs in ({"strides": 2}, {"strides": 1, "padding": "same"}):
    gradient("max_pool", DISTINCT, 2, **kwargs)
    gradient("average_pool", DISTINCT, 2, **kwargs)
gradient("adaptive_average_pool", DISTINCT, 3)
gradient("adaptive_max_pool", DISTINCT, (2, 3))
gradient("unfold", FIRST, 2, padding=1, stride=2)
gradient("fold", draw((2, 8, 12)), (5, 4), 2)
gradient("depth_to_space", draw((1, 2, 2, 4)), 2)
gradient("ctc_loss", LABELS, LOGITS, jnp.asarray([4, 3, 2], "int32"), jnp.asarray([7, 6, 4], "int32"))
gradient("scatter", ROWS, draw((5, 3)), (4, 3))
for reduction in (None, "add", "max"):
    gradient("scatter_update", draw((4, 3)) + 0.03125, ROWS[1:4], draw((3, 3)), reduction=reduction)
gradient("slice_update", X, jnp.asarray([0, 1, 2], "int32"), draw((2, 2, 2)))
gradient("segment_sum", draw((7, 2)), IDS, num_segments=4)
gradient("segment_max", DISTINCT.reshape(-1, 2)[:7], IDS, num_segments=4)
gradient("top_k", DISTINCT[0, 0], 2)
gradient("cdist", draw((3, 4)), draw((2, 4)) + 0.03125)
gradient("extract_sequences", draw((2, 9)), 3, 2)
for interpolation in ("bilinear", "nearest", "bicubic", "lanczos3"):
    gradient("image.resize", IMAGE, (7, 3), interpolation=interpolation)
gradient("image.resize", IMAGE, (3, 7), antialias=True)
gradient("image.map_coordinates", draw((5, 6)), COORDINATES[:, 0] + 0.03125, 1, fill_mode="reflect")
gradient("image.affine_transform", SMALL, TRANSFORMS + 0.015625)
gradient("image.gaussian_blur", IMAGE, (3, 3), (1.0, 1.0), data_format="channels_last")
gradient("image.rgb_to_hsv", unit((2, 2, 3)) + 0.0078125 * jnp.arange(12.0).reshape((2, 2, 3)))
gradient("image.ssim", unit((1, 6, 6, 1)), unit((1, 6, 6, 1)), filter_size=3)
for name in ("cholesky", "det", "inv", "logdet", "pinv"):
    gradient(name, SPD)
gradient("solve", SPD[0], draw((3, 2)))
gradient("solve_triangular", LOWER, draw((3,)), lower=True)
gradient("qr", TALL)
gradient("qr", TALL, mode="complete")
gradient("qr", TALL.T)
gradient("norm", X, axis=1)
gradient("rfft", draw((2, 6)), None)
gradient("stft", SIGNAL, 5, 2, 6)

LENGTHS = jnp.asarray([7, 6, 4], "int32")
for beams in ((1, 1), (4, 3), (100, 5)):
    call("ctc_decode", LOGITS, LENGTHS, strategy="beam_search", beam_width=beams[0], top_paths=beams[1])
call("ctc_decode", LOGITS, LENGTHS, strategy="beam_search", beam_width=6, top_paths=2, mask_index=4)
call("ctc_decode", jnp.zeros((2, 1, 4)), jnp.ones(2, "int32"), strategy="beam_search", beam_width=3, top_paths=6)
call("ctc_decode", 3 * draw((2, 30, 4)), jnp.asarray([30, 17], "int32"), strategy="beam_search", beam_width=5, top_paths=2)

recorder.write("ops_nn.npz")
