"""``[dataset]``: how many samples, how they are split and stored."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seistomo.config.base import Section

Weight = Annotated[int, Field(ge=0, le=1000)]


class DatasetConfig(Section):
    """Samples, their split and their storage."""

    samples: int = Field(960, ge=1, description="Number of samples (model and gathers).")
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed; sample i depends on the seed and i alone."
    )
    split: tuple[Weight, Weight, Weight] = Field(
        (5, 1, 1),
        description="Shares [train, validation, test]; a sample keeps its split as the set grows.",
    )
    storage: Literal["float16", "float32"] = Field(
        "float16", description="Type of the stored gathers; float16 with a scale a sample."
    )
    shard_samples: int = Field(
        32, ge=1, description="Samples a shard; a killed run loses at most the shard in hand."
    )

    @model_validator(mode="after")
    def _splits_hold_samples(self) -> "DatasetConfig":
        train, validation, test = self.split
        if train < 1 or validation + test < 1:
            raise ValueError(
                f"dataset.split = {list(self.split)}: needs a training share and a validation or"
                " test share of at least 1"
            )
        return self
