#!/usr/bin/env bash
# Measures what docs/results/mnist.md shows. Interrupted, it goes on where it was.
# Usage: bash scripts/mnist-results.sh OUT [FOLDER WITH MNIST]
# EPOCHS, REPEATS and SEEDS change the lengths: 100, 5 and 200 are the paper's, 25 and 3 fit two cores.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" benchmarks
out="${1:?usage: bash scripts/mnist-results.sh OUT [FOLDER WITH MNIST]}"
data=(${2:+--data "$2"})
epochs=(--epochs "${EPOCHS:-25}")
mnist=(seistomo benchmark mnist --out "$out" "${data[@]}")

seistomo benchmark optimizer-cost --out "$out/cost"
"${mnist[@]}" --table 1 "${epochs[@]}" --repeats "${REPEATS:-3}"
"${mnist[@]}" --table 1 "${epochs[@]}" --repeats "${REPEATS:-3}" --pixels unit --out "$out/unit"
for table in 2 3 ablation; do
    "${mnist[@]}" --table "$table" "${epochs[@]}" --repeats 1
done
"${mnist[@]}" --study pairs
"${mnist[@]}" --study sensitivity
"${mnist[@]}" --study race
"${mnist[@]}" --study stuck --seeds "${SEEDS:-200}"
