"""Other programs' formats: import velocity models, export data sets."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, SplitOption, app
from seistomo.errors import InputError
from seistomo.progress import set_quiet

Number = TypeVar("Number", int, float)


@app.command("import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Velocity file to write (HDF5).")],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="openfwi, segy, npz, raw or hdf5; left out: by the ending of the name.",
        ),
    ] = None,
    spacing: Annotated[
        float | None,
        typer.Option(help="Wanted distance between nodes, m; left out: the file's."),
    ] = None,
    file_spacing: Annotated[
        str | None,
        typer.Option(
            metavar="M|DEPTHxX",
            help="Distance between nodes in the file, m: where it says nothing, or instead.",
        ),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="Of the file's numbers: m/s, km/s, ft/s, s/m, s2/m2 (slowness, its square);"
            " left out: m/s."
        ),
    ] = None,
    inline: Annotated[int | None, typer.Option(help="Inline to take from a SEG-Y cube.")] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="DEPTHxX", help="Nodes of a raw file's model: 221x601.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Type of a raw file's values.")] = "float32",
    byte_order: Annotated[str, typer.Option(help="Of a raw file: little or big.")] = "little",
    fastest: Annotated[
        str, typer.Option(help="Last axis of arrays: x for [depth, x], depth for [x, depth].")
    ] = "x",
    key: Annotated[
        str | None, typer.Option(help="Array of an NPZ file; left out: velocity, or the only one.")
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH", help="Limit speeds, m/s, before all else; 1450: or :4650."
        ),
    ] = None,
    depth_range: Annotated[
        str | None, typer.Option(metavar="FROM:TO", help="Part of the depth to use, m.")
    ] = None,
    x_range: Annotated[
        str | None, typer.Option(metavar="FROM:TO", help="Part of the width to use, m.")
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="DEPTHxX", help="Cut pieces of this many nodes: 100x100."),
    ] = None,
    stride: Annotated[
        str | None,
        typer.Option(metavar="N|DEPTHxX", help="Nodes from crop to crop; left out: side by side."),
    ] = None,
    crops: Annotated[
        int | None, typer.Option(help="Cut this many at random places instead of a grid.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random places.")] = 0,
    min_contrast: Annotated[
        float, typer.Option(help="Leave out crops whose speeds differ by less, m/s (water).")
    ] = 0.0,
    salt_threshold: Annotated[
        float | None,
        typer.Option(help="Faster nodes count as salt, m/s; left out: the scores' 4225."),
    ] = None,
    no_salt: Annotated[bool, typer.Option("--no-salt", help="No node counts as salt.")] = False,
    family: Annotated[
        str, typer.Option(help="Name of the models' family in scores and figures.")
    ] = "imported",
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Bring velocity models of your own to `simulate --velocity`.

    Example: seistomo import marmousi.segy --spacing 15 --crop 100x100 --out velocity.h5
    """
    from seistomo.dataset.exchange import (
        CropOptions,
        FileOptions,
        ImportOptions,
        import_velocity,
    )

    set_quiet(quiet)
    if no_salt and salt_threshold is not None:
        raise InputError("--no-salt and --salt-threshold: give one of them, not both")
    file = FileOptions(
        format=format_,
        units=units and units.replace("²", "2"),
        spacing=_file_spacing(file_spacing),
        shape=_pair(shape, "--shape", int),
        dtype=dtype,
        byte_order=byte_order,
        fastest=fastest,
        key=key,
        inline=inline,
    )
    cut = CropOptions(
        size=_pair(crop, "--crop", int),
        stride=_pair(stride, "--stride", int, alone=True),
        count=crops,
        seed=seed,
        depth_range=_range(depth_range, "--depth-range"),
        x_range=_range(x_range, "--x-range"),
        min_contrast=min_contrast,
    )
    salt = {"salt_threshold": None if no_salt else salt_threshold}
    options = ImportOptions(
        file=file,
        spacing=spacing,
        clip=_range(clip, "--clip"),
        crops=cut,
        family=family,
        **(salt if no_salt or salt_threshold is not None else {}),
    )
    typer.echo(import_velocity(paths, out, options, overwrite=overwrite))


@app.command()
def export(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA.h5",
            help="Data set (file or folder of parts), velocity file or predictions.",
        ),
    ],
    format_: Annotated[str, typer.Option("--format", help="openfwi, segy, npz or hdf5.")],
    out: Annotated[Path, typer.Option("--out", help="Folder (openfwi, segy) or file to write.")],
    split: SplitOption = "all",
    indices: Annotated[
        str | None, typer.Option(help="Which samples of the split: 0,3,7 or 0:10 (Python's slice).")
    ] = None,
    file_samples: Annotated[
        int | None,
        typer.Option(
            help="Samples a file (openfwi); left out: 500, or as many as the smallest split has."
        ),
    ] = None,
    numbers: Annotated[
        str | None, typer.Option(help="Floating point numbers of segy: ieee (left out) or ibm.")
    ] = None,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write a data set, or models alone, for other programs.

    Example: seistomo export data.h5 --format openfwi --out openfwi
    """
    from seistomo.dataset.exchange import export_dataset

    set_quiet(quiet)
    options = {"split": split, "indices": indices, "file_samples": file_samples}
    options |= {"numbers": numbers, "overwrite": overwrite}
    typer.echo(export_dataset(data, out, format_, **options))


def _pair(
    text: str | None, option: str, kind: Callable[[str], Number], *, alone: bool = False
) -> tuple[Number, Number] | None:
    """Read DEPTHxX, or with ``alone`` one number for both."""
    if text is None:
        return None
    words = text.lower().replace("×", "x").split("x")
    try:
        numbers = [kind(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and alone:
        numbers *= 2
    if len(numbers) != 2 or not all(0 < number < math.inf for number in numbers):
        example = "100x120 (depth x x)" if kind is int else "5x6.25 (depth x x)"
        raise InputError(
            f"{option} {text}: must be {'a number or ' if alone else ''}two numbers above 0, such"
            f" as {example}"
        )
    return numbers[0], numbers[1]


def _file_spacing(text: str | None) -> float | tuple[float, float] | None:
    both = _pair(text, "--file-spacing", float, alone=True)
    return both[0] if both and "x" not in text.lower().replace("×", "x") else both


def _range(text: str | None, option: str) -> tuple[float | None, float | None]:
    """Read FROM:TO, where either may be left out."""
    if text is None:
        return None, None
    try:
        low, high = (float(word) if word.strip() else None for word in text.split(":"))
        if not all(end is None or math.isfinite(end) for end in (low, high)):
            raise ValueError
    except ValueError:
        raise InputError(
            f"{option} {text}: must be FROM:TO, such as 450:3500, 450: or :3500"
        ) from None
    return low, high
