#!/usr/bin/env bash
# Proves that everything works: style, import layers, tests. Usage: bash scripts/test.sh [PYTEST ARGS]
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
ruff check .
ruff format --check .

exec python -m pytest "$@"
