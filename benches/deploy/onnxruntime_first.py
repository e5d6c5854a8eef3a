"""One prediction by ONNX Runtime's Python package; with the argument `steady` also the median time of many."""
import sys
import time

import numpy
import onnxruntime

image = numpy.array([i * 31 % 251 for i in range(784)], dtype=numpy.float32).reshape(1, 784)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


def predict():
    return session.run(None, {"x": image})[0][0]


y = predict()
print(y.argmax(), "%.5f" % y.max())
if "steady" in sys.argv:
    times = []
    for _ in range(3000):
        start = time.perf_counter_ns()
        predict()
        times.append(time.perf_counter_ns() - start)
    print(sorted(times)[1500])
