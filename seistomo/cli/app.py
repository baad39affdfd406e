"""The application that the commands belong to, the options they share, and how errors end."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from seistomo import __version__
from seistomo.config.keys import field_help
from seistomo.errors import InputError, OtherRankError, shortened
from seistomo.interrupts import handle_signals, signal_word
from seistomo.progress import flush, say

# typer does not export what it raises for options that it cannot read.
_UsageError = typer.BadParameter.__base__
_ORDER = (
    *("simulate", "merge", "train", "evaluate", "predict", "refine"),
    *("plot", "info", "config", "import", "export", "benchmark"),
)
# What numpy, torch on a CPU and torch on a GPU say.
_NO_MEMORY = re.compile("[Uu]nable to allocate|can't allocate memory|out of memory")


class _Commands(TyperGroup):
    """Turns the errors that a user can mend into one line and an exit status."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        names = super().list_commands(ctx)
        return [*(name for name in _ORDER if name in names), *(sorted({*names} - {*_ORDER}))]

    def main(self, args: Sequence[str] | None = None, *_: object, **__: object) -> NoReturn:
        """Run a command; an error that the user can mend ends in one line and a status."""
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            with self.make_context("seistomo", words) as ctx:
                self.invoke(ctx)
            status = 0
        except typer.Exit as done:
            status = done.exit_code
        except OtherRankError:
            # Another process says why.
            status = 2
        except _UsageError as error:
            command = error.ctx.command_path if error.ctx else "seistomo"
            said = error.format_message().rstrip(".")
            said = shortened(f"{said[:1].lower()}{said[1:]}", 200)
            status = _refused(f"{command}: {said} (see {command} --help)")
        except InputError as error:
            # What the user typed, a path say, may hold line ends.
            status = _refused(shortened(error))
        except KeyboardInterrupt:
            status = _interrupted()
        except BrokenPipeError:
            # The reader of our output is gone (`| head`).
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            status = 1
        except OSError as error:
            if error.strerror is None:
                raise
            status = _refused(shortened(f"{error.filename or 'file system'}: {error.strerror}"))
        except (ImportError, MemoryError, SystemError, RuntimeError) as error:
            if _NO_MEMORY.search(str(error)):
                status = _refused(shortened(f"too little memory: {error}"))
            elif signal_word():
                # A library that was being loaded has turned Ctrl-C into an error of its own.
                status = _interrupted()
            else:
                raise
        sys.exit(status)


def _refused(message: str) -> int:
    say(f"error: {message}", always=True)
    return 2


def _interrupted() -> int:
    """Say how to go on; return the exit status."""
    # CPython remembers a Ctrl-C that struck while a library ran text of its own, and would end by
    # the signal in place of our status; running any other text makes it forget.
    exec("")
    words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
    command = f"seistomo {shlex.join(words)}"
    if rank() > 0:
        # One of the processes that torchrun has started speaks for all.
        return 130
    if words[:1] in (["simulate"], ["train"], ["refine"]) and "--dry-run" not in words:
        same = "WORLD_SIZE" in os.environ
        advice = f"go on with{' the same command and' if same else f': {command}'} --resume"
        if words[0] == "train" and "--overwrite" in sys.argv:
            advice += " (before the first epoch was done: with --overwrite again)"
    elif words[:1] == ["benchmark"]:
        advice = f"go on with: {command}"
    else:
        advice = "nothing was written"
    say(f"{signal_word() or 'interrupted'}; {advice}", always=True)
    return 130


app = typer.Typer(
    cls=_Commands,
    name="seistomo",
    help="Seismic tomography with deep learning: simulate, train, evaluate.",
    epilog="COMMAND --help says what a command takes, `seistomo config` what --set sets.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="TOML file, or the name of a preset.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
_DATA = typer.Option("--data", help="Data set (HDF5 file or folder of parts).")
DataOption = Annotated[Path, _DATA]
OptionalDataOption = Annotated[Path | None, _DATA]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a config key; may be given many times."
    ),
]
DeviceOption = Annotated[str | None, typer.Option(help=field_help("training.device"))]
SeedOption = Annotated[int | None, typer.Option(help="Override the seed.")]
ResumeFlag = Annotated[bool, typer.Option("--resume", help="Go on where an earlier run stopped.")]
OverwriteFlag = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
SegyOption = Annotated[
    list[Path] | None,
    typer.Option("--segy", help="Shot gathers of your own: SEG-Y files, or a folder of them."),
]
SegyArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[SHOTS.segy...]", help="Further files of --segy."),
]
CheckpointOption = Annotated[str, typer.Option(help="Which weights: best or last.")]
SplitOption = Annotated[str, typer.Option(help="train, validation, test or all.")]
NoiseOption = Annotated[
    float | None, typer.Option(help="Add white noise at this signal-to-noise ratio, dB.")
]


def shard_option(help_: str) -> Any:
    """Return the type of `--shard`: what part I of N is differs from command to command."""
    return Annotated[str | None, typer.Option("--shard", metavar="I/N", help=help_)]


def overrides(settings: list[str] | None, **named: object) -> list[str]:
    """Return ``--set`` strings: the user's own, then options with a name, by ``section__key``."""
    extra = [
        f"{key.replace('__', '.')}={value!r}".replace("'", '"')
        for key, value in named.items()
        if value is not None
    ]
    return [*(settings or []), *extra]


def own_gathers(segy: list[Path] | None, more: list[Path] | None, data: Path | None) -> list[Path]:
    """Return all files of gathers of one's own; refuse them beside a data set."""
    if more and not segy:
        raise InputError(f"{more[0]}: gathers of your own come after --segy")
    if bool(segy) == (data is not None):
        raise InputError("--data or --segy: give one of them")
    return [*(segy or []), *(more or [])]


def require_one_of(resume: bool, other: bool, name: str = "--overwrite") -> None:
    if resume and other:
        raise InputError(f"--resume and {name}: give one of them, not both")


def rank() -> int:
    """Return this process's number among those that torchrun started."""
    text = os.environ.get("RANK", "0")
    return int(text) if text.isdecimal() else 0


def _version(show: bool) -> None:
    if show:
        typer.echo(f"seistomo {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Seismic tomography with deep learning: simulate, train, evaluate."""


def main() -> NoReturn:
    """Run the command line; exit with 0 done, 2 bad input, 130 interrupted, 1 output not taken."""
    handle_signals()
    # Else the first file that is opened takes the place of a closed stream, and its text.
    for handle in (0, 1, 2):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.exit(_refused("standard output is closed; use > /dev/null where no result is wanted"))
    if sys.stderr is None:
        sys.stderr = open(2, "w")  # noqa: SIM115 - open to the end
    # A user's own optimizer may lie in the working directory.
    sys.path.append(os.getcwd())
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(_interrupted())
    finally:
        flush()
