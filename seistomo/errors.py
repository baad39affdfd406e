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
