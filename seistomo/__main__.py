"""``python -m seistomo``."""

from seistomo.cli import main

main()
