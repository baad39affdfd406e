"""One patch through a banded matrix, against torch's convolution."""

import pytest
import torch
from torch.nn import functional

from seistomo.networks.banded import BandedConvolution, axis_taps, patch_index


def test_taps_join_outputs_to_inputs():
    taps = axis_taps(kernel=2, inputs=3, outputs=4, before=1, valid=3)
    weights = torch.tensor([10.0, 1.0])
    expected = [[1, 0, 0], [10, 1, 0], [0, 10, 1], [0, 0, 0]]
    assert torch.equal(torch.einsum("k,koi->oi", weights, taps), torch.tensor(expected).float())


def test_patches_overlap_and_leave_the_axis_at_both_ends():
    expected = [[7, 0, 1, 2, 3], [1, 2, 3, 4, 5], [3, 4, 5, 6, 7], [5, 6, 7, 7, 7]]
    assert patch_index(7, 5, 2).tolist() == expected


@pytest.mark.parametrize(("rows", "columns"), [((5, 2), (7, 4)), ((9, 6), (5, 2))])
def test_one_patch_equals_a_convolution(rows, columns):
    torch.manual_seed(0)
    layer = BandedConvolution(3, 2, axis_taps(4, *rows), axis_taps(4, *columns)).double()
    patches = torch.randn(6, 3, rows[0], columns[0], dtype=torch.float64)
    expected = functional.max_pool2d(functional.conv2d(patches, layer.weight).relu(), 2)
    found = layer(patches.permute(2, 1, 3, 0).reshape(1, -1, 6))
    expected = expected.permute(2, 1, 3, 0).reshape(1, -1, 6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_masked_outputs_do_not_count():
    layer = BandedConvolution(1, 1, axis_taps(4, 5, 2), axis_taps(4, 5, 2)).double()
    torch.nn.init.uniform_(layer.weight, -1, 1, generator=torch.Generator().manual_seed(0))
    patches = torch.randn(200, 1, 5, 5, generator=torch.Generator().manual_seed(1)).double()
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0]]).double()
    found = layer(patches.permute(2, 1, 3, 0).reshape(1, -1, 200), mask).flatten()
    expected = functional.conv2d(patches, layer.weight)[:, :, :1].flatten(1).amax(1).relu()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert (found == 0).any()
    assert (found > 0).any()


def test_derivatives_of_every_kind():
    layer = BandedConvolution(2, 2, axis_taps(4, 5, 2), axis_taps(4, 5, 2)).double()
    patches = torch.randn(2, 50, 3, dtype=torch.float64, requires_grad=True)

    def forward(weight, patches):
        return torch.func.functional_call(layer, {"weight": weight}, (patches,))

    torch.manual_seed(0)
    arguments = (layer.weight, patches)
    assert torch.autograd.gradcheck(forward, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(forward, arguments)
