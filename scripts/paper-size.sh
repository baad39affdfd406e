#!/usr/bin/env bash
# The paper's size, for a GPU: Table 4 (Adam, SQGN) and the quickstart's recipe, in pieces. Each call works for
# MINUTES and exits with 130 while something is left; the next one goes on.
# Usage: [MINUTES=9] [EPOCHS=100] bash scripts/paper-size.sh FOLDER [--set KEY=VALUE ...]
set -euo pipefail
out="${1:?usage: paper-size.sh FOLDER [--set KEY=VALUE ...]}"
[[ "$out" == /* ]] || out="$PWD/$out"
shift
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
mkdir -p "$out"
epochs="${EPOCHS:-100}" stop=$((SECONDS + 60 * ${MINUTES:-9}))

work() {
    local left=$((stop - SECONDS)) status=130
    if ((left > 0)); then
        # In the foreground: Ctrl-C reaches the command too.
        timeout --foreground --signal=INT --preserve-status "$left" seistomo "$@" && return
        status=$?
    fi
    ((status != 130)) || echo "Not done yet: give the same command again." >&2
    exit "$status"
}

work simulate tomography --out "$out/data.h5" --resume "$@"
work benchmark sqgn-table-4 --set problem.size=paper --data "$out/data.h5" --out "$out/table-4" \
    --methods adam-1e-3,sqgn,sqgn-tenth --epochs "$epochs" --repeats 1
work train tomography --data "$out/data.h5" --out "$out/recipe" --epochs "$epochs" --resume \
    --set network.name=unet --set network.output_scale=0.1 --set training.batch_size=16 \
    --set training.micro_batch=0 --set training.schedule=cosine --set optimizer.learning_rate=2e-3 \
    --set training.loss=pseudo-huber --set training.huber_delta=300 --set training.ssim_weight=0.05 \
    --set training.mirror=true --set training.noise_snr=[5,45] --set training.dead_traces=[0,0.1] \
    --set training.amplitude_jitter=0.5 --set training.wavelet_jitter=0.1 --set evaluation.mirror=true "$@"
work evaluate "$out/recipe" --data "$out/data.h5" --out "$out/evaluation" --overwrite
echo "Done: $out/table-4/index.md, $out/evaluation/report.html"
