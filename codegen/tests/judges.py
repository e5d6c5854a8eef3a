"""Whether other readers of StableHLO take the texts in the files that are named: jaxlib's parser, verifier and serialiser for version 1.13,
and IREE's compiler (`iree-compile`) as far as its own input form."""

import pathlib
import subprocess
import sys

from jaxlib.mlir import ir
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import stablehlo

VERSION = "1.13.0"
# what IREE has no lowering for: `iree-opt` still reads and verifies it
IREE_LACKS = ("stablehlo.cholesky", "stablehlo.triangular_solve", "stablehlo.fft")


def jaxlib_judges(text):
    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    with ir.Context() as context:
        context.append_dialect_registry(registry)
        context.load_all_available_dialects()
        stablehlo.register_dialect(context)
        module = ir.Module.parse(text)
        module.operation.verify()
        stablehlo.serialize_portable_artifact_str(str(module), VERSION)


def iree_judges(text, iree_compile):
    command = [iree_compile, "-", "--iree-input-type=stablehlo", "--compile-to=input", "-o", "/dev/null"]
    if any(op in text for op in IREE_LACKS):
        command = [str(pathlib.Path(iree_compile).with_name("iree-opt")), "-", "-o", "/dev/null"]
    ended = subprocess.run(command, input=text, capture_output=True, text=True)
    if ended.returncode:
        raise ValueError(ended.stderr[:2000])


def main(iree_compile, paths):
    failed = 0
    for path in paths:
        for number, text in enumerate(pathlib.Path(path).read_text().split("// -----\n")):
            for name, judge in (("jaxlib", jaxlib_judges), ("iree", lambda text: iree_judges(text, iree_compile))):
                try:
                    judge(text)
                except Exception as error:  # a judge's own errors are of many kinds
                    failed += 1
                    print(f"{path} (part {number}): {name} refuses it: {error}")
    print(f"{len(paths)} files, {failed} refusals")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
