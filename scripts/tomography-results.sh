#!/usr/bin/env bash
# Compares optimizers on the full-size tomography problem in pieces of some minutes, for machines that
# one has for a short time. Each call makes a piece: data, then epochs of all optimizers in turns, so
# that all have done equally many; the next call goes on. After each, what must not be lost lies in
# OUT/results.tar.gz: table, numbers, figures, histories, configurations (no data, no checkpoints).
# Usage: bash scripts/tomography-results.sh OUT [OPTIONS OF seistomo benchmark tomography]
# MINUTES, SIZE, OPTIMIZERS and REPEATS are 9, paper, "adam-1e-2,sqgn" and 1. Where the package is
# installed already, SEISTOMO names its command: SEISTOMO="python -m seistomo".
set -euo pipefail
unset CDPATH
out="${1:?usage: bash scripts/tomography-results.sh OUT [OPTIONS]}"
shift
mkdir -p "$out"
out="$(cd "$out" && pwd)"
[ -n "${SEISTOMO:-}" ] || source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
read -ra seistomo <<<"${SEISTOMO:-seistomo}"

pack() {
    local names
    # What is not there yet is left out.
    mapfile -t names < <(cd "$out" && find . \( -name '*.md' -o -name '*.json' -o -name '*.csv' \
        -o -name '*.toml' -o -name '*.png' \) -not -path './.*' | sort)
    [ "${#names[@]}" -eq 0 ] || tar -czf "$out/results.tar.gz" -C "$out" "${names[@]}"
}
trap pack EXIT
# What installing took is part of the piece.
minutes="$(awk -v all="${MINUTES:-9}" -v spent="$SECONDS" \
    'BEGIN { left = all - spent / 60; printf "%g", left < 1 ? 1 : left }')"
"${seistomo[@]}" benchmark tomography --out "$out" --size "${SIZE:-paper}" \
    --optimizers "${OPTIMIZERS:-adam-1e-2,sqgn}" --repeats "${REPEATS:-1}" \
    --minutes "$minutes" "$@"
