"""Seeds are addresses."""

import numpy as np
import pytest
import torch

from sgtool.latents import latents_of_seeds, one_hot


def test_latent_of_a_seed_is_numpys_random_state():
    expected = np.random.RandomState(85).randn(1, 512).astype(np.float32)
    np.testing.assert_array_equal(latents_of_seeds([85], 512), expected)


def test_latent_of_seed_zero_has_the_known_first_numbers():
    # numpy guarantees RandomState's stream for ever: these are seed 0's first normal numbers
    assert latents_of_seeds([0], 3)[0].tolist() == pytest.approx([1.76405235, 0.40015721, 0.97873798], abs=1e-7)


def test_latents_do_not_depend_on_their_neighbours():
    together = latents_of_seeds([3, 1, 2**32 - 1, 3], 7)
    assert together.dtype == torch.float32
    for row, seed in zip(together, [3, 1, 2**32 - 1, 3], strict=True):
        assert torch.equal(row, latents_of_seeds([seed], 7)[0])


def test_no_seeds_are_no_latents():
    assert latents_of_seeds([], 5).shape == (0, 5)


def test_labels_are_one_hot():
    assert one_hot([2, 0, None], 3).tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert one_hot([None, None], 0).shape == (2, 0)


@pytest.mark.parametrize("number", [3, -1])
def test_unknown_classes_are_refused(number):
    with pytest.raises(ValueError, match="outside 0..2"):
        one_hot([number], 3)
