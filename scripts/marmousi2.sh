#!/usr/bin/env bash
# Takes Marmousi2 through import, simulate and export and draws the pictures of docs/data.md.
# Usage: bash scripts/marmousi2.sh VP.segy [FOLDER]    (the P velocity, 5 m x 6.25 m, of Martin et
# al. 2006; about two minutes on two cores)
# Both are relative to where you are, not to the project.
segy=$(realpath "${1:?usage: bash scripts/marmousi2.sh VP.segy [FOLDER]}")
out=$(realpath -m "${2:-marmousi2}")
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
mkdir -p "$out"

# 450 m of water become 150; gas sands of 1028 m/s would need a finer grid.
cut=(--spacing 15 --clip 1450: --depth-range 300: --family marmousi2 --overwrite)
seistomo import "$segy" "${cut[@]}" --out "$out/whole.h5"
seistomo import "$segy" "${cut[@]}" --crop 100x100 --stride 100x50 --out "$out/crops.h5"
seistomo simulate tomography --velocity "$out/crops.h5" --out "$out/data.h5" \
    --set velocity.maximum=4700.0 --overwrite
seistomo export "$out/data.h5" --format segy --indices 0:4 --out "$out/segy" --overwrite

seistomo plot "$out/whole.h5" "$out/crops.h5" --out "$out/crops.png" --overwrite
seistomo plot "$out/data.h5" --samples 11,12,32 --out "$out/data.png" --overwrite
