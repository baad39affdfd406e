# Sourced by the scripts beside it: makes or reuses .venv with the package in it.
# Usage: source scripts/environment.sh EXTRA    (dev, or "" for none: without an argument bash would
# hand over the calling script's own)
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3" >&2
    return 2
}

install_into_venv() {
    local extra="$1" python stamp
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        echo "Making .venv ..." >&2
        "$python" -m venv --clear .venv
    fi
    # The folder counts too: what was installed points to it.
    stamp=".venv/installed-$({ pwd; cat pyproject.toml constraints.txt; } | .venv/bin/python -c \
        'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')"
    if [ ! -e "$stamp-dev" ] && [ ! -e "$stamp-$extra" ]; then
        echo "Installing seistomo and what it needs into .venv (a few minutes the first time) ..." >&2
        .venv/bin/python -m pip install --quiet --constraint constraints.txt \
            --editable ".${extra:+[$extra]}"
        touch "$stamp-$extra"
    fi
}

install_into_venv "$1"
export PATH="$PWD/.venv/bin:$PATH"
# Idle threads sleep instead of spinning: much faster when something else wants a core.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
