"""The convolutional network of the SQGN paper's MNIST problem."""

import torch
from torch import nn
from torch.nn import functional

from seistomo.networks.banded import BandedConvolution, axis_taps, patch_index
from seistomo.networks.layers import glorot_uniform_


class MnistCNN(nn.Module):
    """Three convolutions with ReLU and pooling and a dense layer (Thiele et al. 2021, 6.1).

    The convolutions have 4×4 kernels, 1→2→4→8 channels, 'same' padding (one zero before, two
    after) and no bias; the 2×2 max pooling rounds up (28→14→7→4); the dense layer has 128 inputs,
    10 outputs and a bias. That is the published number of weights, 1,962. The weights are those
    of ordinary convolutions, and so are the results; how they are computed is in
    `seistomo.networks.banded`.

    Parameters
    ----------
    generator
        Source of the Glorot uniform weights; left out: torch's global one. Biases start at zero.
    """

    def __init__(self, generator: torch.Generator | None = None):
        super().__init__()
        # Patches: 7×7 pixels to 4×4 outputs; then twice five rows to two, over the full width.
        square, pair = axis_taps(4, 7, 4), axis_taps(4, 5, 2)
        # The first layer leaves its 14 columns as (column in patch, patch).
        interleaved = torch.arange(14).view(7, 2).T.flatten()
        second = axis_taps(4, 14, 14, before=1)[..., interleaved]
        third = axis_taps(4, 7, 8, before=1, valid=7)
        self.convolutions = nn.ModuleList(
            [
                BandedConvolution(1, 2, square, square, generator),
                BandedConvolution(2, 4, pair, second, generator),
                BandedConvolution(4, 8, pair, third, generator),
            ]
        )
        self.dense = nn.Linear(128, 10)
        glorot_uniform_(self.dense, generator)
        lines = patch_index(28, 7, 4)
        rows, columns = lines[:, :, None, None], lines.T
        pixels = torch.where((rows == 28) | (columns == 28), 28 * 28, 28 * rows + columns)
        self.register_buffer("_pixels", pixels.flatten(), persistent=False)
        self.register_buffer("_rows14", patch_index(14, 5, 2).flatten(), persistent=False)
        self.register_buffer("_rows7", patch_index(7, 5, 2).flatten(), persistent=False)
        # The second row of the third layer's last pair would be the eighth of seven.
        mask = torch.ones(4, 32, 2, 2)
        mask[3, :, 1] = 0
        self.register_buffer("_mask", mask.flatten(1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, row, column] to logits [batch, 10]."""
        first, second, third = self.convolutions
        batch = len(images)
        pixels = functional.pad(images.reshape(batch, 28 * 28), (0, 1)).T.contiguous()
        # [patch row, (row, column), (patch column, sample)]
        patches = pixels.index_select(0, self._pixels).view(7, 49, 7 * batch)
        features = first(patches).reshape(14, 28 * batch)
        features = second(_row_patches(features, self._rows14, batch)).reshape(7, 28 * batch)
        features = third(_row_patches(features, self._rows7, batch), self._mask)
        # Features are in the order (row, channel, column).
        weight = self.dense.weight.unflatten(1, (8, 4, 4)).transpose(1, 2).flatten(1)
        return (weight @ features.reshape(128, batch)).T + self.dense.bias


def _row_patches(features: torch.Tensor, rows: torch.Tensor, batch: int) -> torch.Tensor:
    """Gather five rows around each pair: [row, -1] to [pair, -1, sample].

    `Tensor.unfold` would do without a copy, but its derivative takes five times as long.
    """
    padded = functional.pad(features, (0, 0, 0, 1))
    return padded.index_select(0, rows).view(len(rows) // 5, -1, batch)
