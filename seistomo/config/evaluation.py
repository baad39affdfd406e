"""``[evaluation]``: how predictions are scored and shown."""

from pydantic import Field

from seistomo.config.base import Section


class EvaluationConfig(Section):
    """Scores and figures."""

    salt_threshold: float = Field(
        4225.0, gt=0, description="Speed above which a pixel counts as salt, m/s (salt IoU)."
    )
    mirror: bool = Field(
        False,
        description="Average each prediction with the one from the mirrored gathers, mirrored back;"
        " for networks trained with training.mirror. Validation scores in training do not.",
    )
    batch_size: int = Field(16, ge=1, description="Samples predicted at once.")
