"""What a prediction is compared with: guesses that need no recorded wave."""

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader

BATCH = 64


def mean_training_model(
    data: DatasetReader, substitute: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean velocity model [depth, x] of the data set's training split, m/s.

    Read in batches, so that the memory used does not grow with the set.

    Parameters
    ----------
    data
        A data set.
    substitute
        What is returned for a set without training samples (one made for tests alone): the mean
        model that the run was trained on.
    """
    indices = data.indices("train")
    if not len(indices):
        return substitute
    total = np.zeros(data.velocity_shape)
    for start in range(0, len(indices), BATCH):
        velocity = data.read_velocity(indices[start : start + BATCH])
        total += velocity.sum(axis=0, dtype=np.float64)
    return (total / len(indices)).astype(np.float32)


def lateral_mean(velocity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each model's own mean over x, spread over x again [sample, depth, x], m/s.

    An oracle: the best 1D earth (in mean square), which only someone who knows the answer
    can draw. A prediction that beats it has found lateral structure.
    """
    mean = velocity.mean(axis=2, keepdims=True, dtype=np.float64)
    return np.broadcast_to(mean, velocity.shape).astype(np.float32)
