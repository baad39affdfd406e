#!/usr/bin/env bash
# From nothing to scored predictions, some of them refined. Usage: bash scripts/quickstart.sh [FOLDER]
out="${1:-quickstart}"
# A folder that was named is the caller's; the default one is in the project's folder.
[[ $# -eq 0 || "$out" == /* ]] || out="$PWD/$out"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
mkdir -p "$out"
started=$SECONDS

# Each step goes on where an interrupted one stopped, so the whole script can be run again.
seistomo simulate quickstart --out "$out/data.h5" --resume
# Layers are short here: threads that sleep between them wake too late, and threads that spin for long
# wait for a core that something else has.
env -u OMP_WAIT_POLICY GOMP_SPINCOUNT=1000 seistomo train quickstart --data "$out/data.h5" --out "$out/run" --resume
seistomo evaluate "$out/run" --data "$out/data.h5" --out "$out/evaluation" --overwrite
seistomo benchmark refinement "$out/run" --data "$out/data.h5" --out "$out/refinement" \
  --methods prediction-adam,mean --set samples=3
seistomo plot "$out/data.h5" --out "$out/data.png" --overwrite

echo
echo "Done in $((SECONDS - started)) s. Look at:"
echo "  $out/evaluation/report.html    scores, figures, configuration; open it in a browser"
echo "  $out/evaluation/metrics.json   the scores as numbers"
echo "  $out/refinement/models.png     reference, network, and what waveform inversion makes of it"
echo "  $out/refinement/index.md       scores of both"
echo "  $out/data.png                  velocity models with the survey, and gathers"
echo "  seistomo info $out/data.h5     what the data set holds (activate .venv first)"
