#!/bin/sh
# Executes the packages of this folder on this machine's first GPU and writes report.txt: what a CPU computed is beside them.
# Needs the driver and Python 3 (its standard library alone). A command that takes longer than two minutes has failed.
cd "$(dirname "$0")" || exit 2
failures=0
check() {
    name=$1
    shift
    if timeout 120 "$@" >"$name.log" 2>&1; then
        echo "ok      $name"
    else
        failures=$((failures + 1))
        echo "FAILED  $name"
        tail -n 5 "$name.log"
    fi
}
{
    date -u
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    capability=$(command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)
    for model in @MODELS@; do
        for arch in @ARCHITECTURES@; do
            package=$model-$arch
            # code for Hopper runs on no other GPU
            if [ "$arch" = sm_90a ] && [ "${capability:-9.0}" != 9.0 ]; then
                echo "skipped $package: this GPU has the compute capability $capability"
                continue
            fi
            check "$package.predict" ./kc-run predict "$package-trained.kcp" --input x.npy -o "$package.npy"
            check "$package.same" python3 compare.py arrays "$model-expected.npy" "$package.npy"
            check "$package.fit" ./kc-run fit "$package.kcp" --data data @ARGUMENTS@ -o "$package-fitted.kcp"
            check "$package.learns" python3 compare.py losses "$model-expected.txt" "$package.fit.log"
            check "$package.bench" ./kc-run bench "$package-trained.kcp" --repeats 5 --json
            cat "$package.bench.log"
            if command -v compute-sanitizer >/dev/null; then
                check "$package.sanitizer" compute-sanitizer --error-exitcode 1 ./kc-run predict "$package-trained.kcp" --input x.npy -o sanitized.npy
            else
                echo "skipped $package.sanitizer: there is no compute-sanitizer here"
            fi
        done
    done
    echo "$failures failed"
} >report.txt 2>&1
cat report.txt
[ "$failures" -eq 0 ]
