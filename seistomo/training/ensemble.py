"""A deep ensemble (Lakshminarayanan et al. 2017): runs that differ in their seed alone."""

import math
from collections.abc import Sequence
from pathlib import Path

from seistomo.config import Config
from seistomo.errors import InputError
from seistomo.progress import counted, say
from seistomo.ranks import Processes
from seistomo.training.directory import MEMBER, RunDirectory, member_folders, member_number
from seistomo.training.history import CONFIG, RunResult
from seistomo.training.tomography import train


def train_ensemble(
    config: Config,
    data_path: str | Path,
    folder: str | Path,
    members: int,
    *,
    resume: bool = False,
    overwrite: bool = False,
    shard: tuple[int, int] = (1, 1),
    processes: Processes | None = None,
) -> list[RunResult]:
    """Train runs ``folder/member-0``, ``member-1`` ... one after another; see `train`.

    Member i has the seed ``training.seed`` + i, which draws its weights, batches and
    augmentation. `load_run` of the folder predicts the mean of all members.

    Parameters
    ----------
    config, data_path, processes
        As for `train`.
    folder
        The folder of the members.
    members
        How many, at least two. More than before, with ``resume``, adds the missing ones.
    resume
        Go on with members that are there; those that are finished stay as they are.
    overwrite
        Replace members that are there, one after another.
    shard
        This process's number and how many share the members, as (1, 4).

    Returns
    -------
    How each of this process's members ended.

    Raises
    ------
    InputError
        As `train`, before any member is trained where that can be told.
    """
    if processes is None:
        options = {"resume": resume, "overwrite": overwrite, "shard": shard}
        with Processes.from_environment().together() as processes:
            return train_ensemble(
                config, data_path, folder, members, processes=processes, **options
            )
    folder = Path(folder)
    if members < 2:
        raise InputError(f"--members {members}: must be at least 2")
    if shard[1] > members:
        raise InputError(f"--shard {shard[0]}/{shard[1]}: there are {members} members to share")
    if (folder / CONFIG).is_file():
        raise InputError(f"--out {folder}: is a single run; give an ensemble another folder")
    beyond = [path for path in member_folders(folder) if member_number(path) >= members]
    if beyond:
        raise InputError(
            f"--members {members}: {folder} holds {beyond[-1].name} already; ask for"
            f" {member_number(beyond[-1]) + 1} or more, or for another folder"
        )
    places = {number: folder / f"{MEMBER}{number}" for number in range(members)}
    mine = {number: places[number] for number in range(shard[0] - 1, members, shard[1])}
    for place in mine.values():
        # Refuses now what it would refuse after hours.
        RunDirectory(place, resume=resume, overwrite=overwrite, leads=processes.leads)
    results = []
    for number, place in mine.items():
        seed = config.training.seed + number
        if processes.leads:
            say(f"{place.name}, of {members} members: seed {seed}")
        training = config.training.model_copy(update={"seed": seed})
        member = config.model_copy(update={"training": training})
        results.append(train(member, data_path, place, resume, overwrite, processes))
    return results


def in_words(results: Sequence[RunResult]) -> str:
    """Return how members ended: the spread of their best epochs' losses."""
    score = "validation" if math.isfinite(results[0].best["validation_loss"]) else "training"
    losses = [result.best[f"{score}_loss"] for result in results]
    spread = f"{min(losses):.3g} to {max(losses):.3g} (m/s)²"
    return f"{counted(len(losses), 'member')}, {score} loss of the best epochs {spread}"
