#!/usr/bin/env bash
# Measures what docs/results/mnist.md shows. Interrupted, it goes on where it was.
# Usage: bash scripts/mnist-results.sh OUT [FOLDER WITH MNIST]
# EPOCHS, REPEATS and SEEDS change the lengths: 100, 5 and 200 are the paper's, 25 and 3 fit two cores.
set -euo pipefail
unset CDPATH
out="${1:?usage: bash scripts/mnist-results.sh OUT [FOLDER WITH MNIST]}"
mkdir -p "$out"
out="$(cd "$out" && pwd)"
data=()
[ -z "${2:-}" ] || data=(--data "$(cd "$2" && pwd)")
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" benchmarks
length=(--epochs "${EPOCHS:-25}" --repeats "${REPEATS:-3}")
mnist=(seistomo benchmark mnist --out "$out" "${data[@]}")

# The times of iterations, and then the race, want a machine that does nothing else.
if [ ! -e "$out-cost/optimizer-cost-mnist.json" ]; then
    seistomo benchmark optimizer-cost --problem mnist --out "$out-cost"
fi
"${mnist[@]}" --study race --trials 16 --trial-seconds 20
"${mnist[@]}" --table 1 "${length[@]}"
"${mnist[@]}" --table 1 "${length[@]}" --pixels unit --out "$out-unit"
"${mnist[@]}" --table 2 --epochs "${EPOCHS:-25}" --repeats 1
for table in 3 ablation; do
    "${mnist[@]}" --table "$table" "${length[@]}"
done
"${mnist[@]}" --study pairs
"${mnist[@]}" --study sensitivity
"${mnist[@]}" --study stuck --seeds "${SEEDS:-200}"
