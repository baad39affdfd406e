"""The samples T that curvature is measured on."""

from typing import Any

import torch
from torch import Tensor

from seistomo.optim.errors import OptimizerError
from seistomo.optim.objective import Objective
from seistomo.optim.options import require_count, require_one_of

BATCH, TRAINING_SET = "batch", "training_set"


class CurvatureSamples:
    """Draws the samples T that a pair's curvature is measured on, without replacement.

    Parameters
    ----------
    count
        |T|; None: as many as the batch has.
    source
        "batch": T is part of the batch S, and no larger. "training_set": T is drawn apart from
        S, and may be larger.
    seed
        Seed of the generator, whose state lies in the optimizer's memory.
    """

    def __init__(self, count: int | None, source: str, seed: int):
        require_one_of("curvature_from", source, (BATCH, TRAINING_SET))
        require_count("seed", seed, 0)
        if count is not None:
            require_count("curvature_samples", count)
        elif source != BATCH:
            raise OptimizerError(
                f"curvature_from = {source}: needs curvature_samples, their number"
            )
        self._count, self._source, self._seed = count, source, seed

    def draw(self, objective: Objective, memory: dict[str, Any]) -> Tensor | None:
        """Return T as global sample indices, int64 [sample]; None for the whole batch."""
        if self._source == "batch":
            if self._count is None or self._count >= objective.batch_size:
                return None
            return self._some(objective.samples, self._count, memory)
        count = objective.batch_size if self._count is None else self._count
        return self._some(objective.training_samples, count, memory)

    def _some(self, pool: Tensor, count: int, memory: dict[str, Any]) -> Tensor:
        generator = torch.Generator()
        if "generator" in memory:
            generator.set_state(memory["generator"])
        else:
            generator.manual_seed(self._seed)
        places = torch.randperm(len(pool), generator=generator)[:count]
        memory["generator"] = generator.get_state()
        return pool[places.to(pool.device)]
