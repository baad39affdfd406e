"""What torchrun, or another launcher of its kind, tells each of the processes that it starts."""

import os
from typing import NamedTuple

from seistomo.errors import InputError


class Place(NamedTuple):
    """Which of the processes this is.

    Attributes
    ----------
    rank, count
        Number of this process, from 0, and of all.
    local_rank, local_count
        The same among the processes on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1


def launched_place() -> Place:
    """Return this process's place; without WORLD_SIZE in the environment it is alone.

    Raises
    ------
    InputError
        If the environment is not as torchrun makes it.
    """
    count, rank = launch_number("WORLD_SIZE", 1), launch_number("RANK", 0)
    if count == 1:
        return Place()
    if "RANK" not in os.environ or not 0 <= rank < count:
        raise InputError(f"WORLD_SIZE = {count} without a RANK from 0 to {count - 1}")
    local_rank = launch_number("LOCAL_RANK", rank)
    return Place(rank, count, local_rank, launch_number("LOCAL_WORLD_SIZE", count))


def launch_number(name: str, default: int) -> int:
    """Return a number from the environment.

    Raises
    ------
    InputError
        If it is none.
    """
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"{name} = {text}: must be a number, as torchrun sets it")
    return int(text)


def cannot_join(rank: int, error: Exception) -> InputError:
    """Return what to tell the user where the others could not be reached."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    return InputError(
        f"rank {rank}: cannot join the others at MASTER_ADDR = {address}, MASTER_PORT = {port}:"
        f" {str(error).splitlines()[0]}"
    )
