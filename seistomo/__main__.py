"""``python -m seistomo``, and the command ``seistomo``."""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; a signal that comes while it is still loading ends it at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _quit)
    from seistomo.cli import main as run

    run()


def _quit(number: int, frame: object) -> NoReturn:
    try:
        os.write(2, b"interrupted; nothing was written\n")
    finally:
        os._exit(130)


if __name__ == "__main__":
    main()
