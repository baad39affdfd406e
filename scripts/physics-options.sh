#!/usr/bin/env bash
# Draws docs/figures/physics-options.png: one shot with an absorbing top, a free surface, and both a
# free surface and variable density. Usage: bash scripts/physics-options.sh [FOLDER]
out=$(realpath -m "${1:-physics-options}")
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
mkdir -p "$out"

# Sample SAMPLE of the tomography preset: 300 m of water over salt.
sample="${SAMPLE:-25}"
shot=(--samples $((sample + 1)) --set survey.sources=1 --set 'survey.source_x=[600.0]'
    --set survey.source_depth=15.0 --set survey.receiver_depth=15.0 --set survey.time_samples=330
    --set simulation.accuracy=6 --overwrite)
surface=(--set simulation.free_surface=true)
seistomo simulate tomography "${shot[@]}" --out "$out/absorbing top.h5"
seistomo simulate tomography "${shot[@]}" "${surface[@]}" --out "$out/free surface.h5"
seistomo simulate tomography "${shot[@]}" "${surface[@]}" --set simulation.density=gardner \
    --out "$out/free surface, density.h5"

seistomo plot "$out/absorbing top.h5" "$out/free surface.h5" "$out/free surface, density.h5" \
    --samples "$sample" --shots 0 --out "$out/physics-options.png" --overwrite
