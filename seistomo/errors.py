"""The errors that a user can mend, each told in one line."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the thing, its value and what is allowed or what to do.
    The command line prints it and exits with status 2; nothing on disk has been changed.
    """


class TrainingDivergedError(InputError):
    """The training loss became NaN or infinite; the last good checkpoint is kept."""


class DiskFullError(InputError):
    """There is not enough room for a file; what was there before is untouched."""


def shortened(text: object, limit: int = 300) -> str:
    """Return ``text`` on one line, its middle left out where it is longer than ``limit``."""
    line = " ".join(str(text).split())
    if len(line) <= limit:
        return line
    kept = limit - 5
    return f"{line[: kept * 2 // 3]} ... {line[len(line) - (kept - kept * 2 // 3) :]}"


class OtherRankError(InputError):
    """Another process of the same work has failed, and says why; this one ends without a word."""
