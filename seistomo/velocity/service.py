"""Draws models for another process: messages on standard input, models on standard output.

Messages are pickles. The first is (velocity settings as JSON, seed), each later one a list of
sample indices; the answer to it is a list of models, or the error that drawing them ended with.
"""

import os
import pickle
import sys
from collections.abc import Iterator
from typing import BinaryIO

from seistomo.config import VelocityConfig
from seistomo.velocity.model import VelocityModel, draw_model


def serve() -> None:
    """Answer messages until standard input ends."""
    # What anything else prints goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    messages = _messages(sys.stdin.buffer)
    settings, seed = next(messages)
    config = VelocityConfig.model_validate_json(settings)
    for indices in messages:
        pickle.dump(_drawn(config, seed, indices), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _drawn(
    config: VelocityConfig, seed: int, indices: list[int]
) -> list[VelocityModel] | Exception:
    try:
        return [draw_model(config, seed, index) for index in indices]
    except Exception as error:
        return error


def _messages(source: BinaryIO) -> Iterator:
    while True:
        try:
            yield pickle.load(source)
        except EOFError:
            return
