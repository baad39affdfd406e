#!/usr/bin/env bash
# Proves that everything works: style, import layers, tests. Usage: bash scripts/test.sh [PYTEST ARGS]
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
ruff check .
ruff format --check .

# Two processes, one thread each: the tests are too small to share cores well. A file's tests stay
# together, so that what they share is made once.
export OMP_NUM_THREADS=1
exec python -m pytest -n 2 --dist loadfile "$@"
