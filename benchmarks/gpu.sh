#!/usr/bin/env bash
# All that needs a real GPU, in one go: the tests, and the benchmark against PyTorch.
#
#     benchmarks/gpu.sh                                  # results go to runs/gpu
#     PYTHON=python3.12 benchmarks/gpu.sh /tmp/results
#
# It takes ten minutes at most and installs nothing. The Python needs NumPy, CuPy, pytest and
# hypothesis; with PyTorch there is something to compare with, and the profiler that sees kernels;
# with pytest-xdist the tests run in eight processes. The folder is given results.md,
# results.json, and a log of each part.
set -u -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$here/runs/gpu}
python=${PYTHON:-python3}
mkdir -p "$out/parts" && out=$(cd "$out" && pwd) && cd "$here" || exit 2
rm -f "$out"/parts/*
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # other plugins may warn, and a warning is an error here
failed=0

part() { # part NAME SECONDS COMMAND...: run it, print it, keep what it printed
    local name=$1 seconds=$2
    shift 2
    printf '\n== %s (%d s at most) ==\n' "$name" "$seconds"
    timeout --signal=INT --kill-after=15 "$seconds" "$@" 2>&1 | tee "$out/$name.log"
    local status=$?
    if [ $status -ne 0 ]; then
        failed=$((failed + 1))
        printf '== %s: exit status %d (124: out of time) ==\n' "$name" "$status" | tee -a "$out/$name.log"
    fi
}

several=()
if "$python" -c "import xdist" 2>/dev/null; then
    several=(-p xdist.plugin -n 8 --dist load --maxschedchunk 1)
fi
tests=("$python" -m pytest -p _hypothesis_pytestplugin --device cuda -q -ra
    --continue-on-collection-errors "${several[@]}"
    -W default::DeprecationWarning -W default::FutureWarning)

"$python" benchmarks/gpu.py --machine || exit 2
part tests 240 "${tests[@]}" -m gpu --durations=15 --junitxml "$out/parts/tests.xml" \
    tests/gpu/test_on_gpu.py tests/distributed/test_on_gpus.py
part benchmark 120 "$python" benchmarks/gpu.py --json "$out/parts/benchmark.json"
part tensorfloat 75 "$python" benchmarks/gpu.py --tf32 --configs C5,C6 --rounds 7 \
    --json "$out/parts/tensorfloat.json"
# What is tested on the CPU, on the GPU; every op is already.
part suite $((570 - SECONDS)) "${tests[@]}" -m "not gpu and not peer" \
    --junitxml "$out/parts/suite.xml" --ignore tests/ops/test_every_op.py \
    tests/autograd tests/arrays tests/tensor tests/testing tests/gpu tests/nn tests/ops tests/optim tests/replay tests/training
printf '\n'
"$python" benchmarks/gpu_results.py "$out" && rm -r "$out/parts" || failed=$((failed + 1))
exit $((failed > 0))
