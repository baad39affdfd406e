"""Convolution, pooling and ReLU of small images as matrix products.

Where channels are few and images small, convolution routines reach a hundredth of a processor's
speed. Here a convolution acts on patches of the image as one matrix, banded as a kernel that
moves along an axis makes it: most of its elements are zeros, and still the product takes a
fraction of the time. Samples are the fastest axis of everything but the matrix.
"""

import torch
from torch import nn
from torch.nn import functional

from seistomo.networks.layers import glorot_uniform_


def axis_taps(
    kernel: int, inputs: int, outputs: int, before: int = 0, valid: int | None = None
) -> torch.Tensor:
    """Return which element of a kernel joins which input to which output along an axis.

    Zeros and ones, [kernel, output, input]. ``before`` zeros that the patch does not contain come
    before it, any number after it. Outputs from number ``valid`` on do not exist, but fill a
    pooling window: nothing joins them.
    """
    k, o, i = torch.meshgrid(*map(torch.arange, (kernel, outputs, inputs)), indexing="ij")
    taps = (i == o + k - before) & (o < (outputs if valid is None else valid))
    return taps.to(torch.get_default_dtype())


def patch_index(length: int, patch: int, stride: int) -> torch.Tensor:
    """Return where overlapping patches along an axis take their values from, [patch, place].

    The first starts one before the axis; ``length`` stands for every place outside it.
    """
    starts = torch.arange(-1, length - 1, stride)
    index = starts.unsqueeze(1) + torch.arange(patch)
    return torch.where((index < 0) | (index > length), length, index)


class BandedConvolution(nn.Module):
    """Convolution without bias, 2×2 max pooling and ReLU, of patches.

    Where several members of a pooling window are largest, the first has the derivative, as in
    torch's own pooling. ``weight`` is the kernel, [out_channel, in_channel, row, column]; the taps
    are `axis_taps` of the patch along both axes, with an even number of outputs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        row_taps: torch.Tensor,
        column_taps: torch.Tensor,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        kernel = (row_taps.shape[0], column_taps.shape[0])
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel))
        self.bias = None
        glorot_uniform_(self, generator)
        # Each axis: kernel k, l; pooled a, b; member of its pooling window m, n; input u, c.
        rows, columns = (taps.unflatten(1, (-1, 2)) for taps in (row_taps, column_taps))
        taps = torch.einsum("kamu,lbnc->klabmnuc", rows, columns)
        self._patch = (rows.shape[1], columns.shape[1] * 4, rows.shape[-1], columns.shape[-1])
        self.register_buffer("taps", taps.reshape(kernel[0] * kernel[1], -1), persistent=False)

    def matrix(self) -> torch.Tensor:
        """Return the convolution of one patch as a matrix.

        Rows are (pooled row, out_channel, pooled column, member of the pooling window), columns
        (input row, in_channel, input column).
        """
        matrix = (self.weight.flatten(2).flatten(0, 1) @ self.taps).unflatten(1, self._patch)
        matrix = matrix.unflatten(0, self.weight.shape[:2]).permute(2, 0, 3, 4, 1, 5)
        return matrix.flatten(3).flatten(0, 2)

    def forward(self, patches: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Map patches [patch, (input row, in_channel, input column), sample] to pooled features.

        These are [patch, (pooled row, out_channel, pooled column), sample]. ``mask`` [patch, row of
        `matrix`] is zero where a patch has no such output: the maximum ignores it, as ReLU follows.
        """
        matrix = self.matrix().expand(len(patches), -1, -1)
        if mask is not None:
            matrix = matrix * mask.unsqueeze(2)
        members = torch.bmm(matrix, patches)
        # To torch this is a channels_last image of one row, with samples for channels: pooling
        # of that order is vectorized over the samples, and nothing is copied on the way.
        pooled = functional.max_pool2d(members.transpose(1, 2).unsqueeze(2), (1, 4))
        return functional.relu(pooled).squeeze(2).transpose(1, 2)
