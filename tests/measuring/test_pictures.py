"""Pictures by number: of a dataset, and of a model, where picture i is the same however one asks for it."""

import numpy as np
import pytest
import torch

from sgtool import images
from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.latents import latents_of_seeds
from sgtool.latents.model import open_model
from sgtool.measuring.pictures import Made, Stored


def test_made_pictures_do_not_depend_on_what_else_is_asked_for(model):
    made = Made(model)
    whole = made.batch(np.arange(40))
    assert whole.shape == (40, 3, 16, 16)
    np.testing.assert_array_equal(made.batch([35, 2]), whole[[35, 2]])
    np.testing.assert_array_equal(Made(model).batch(np.arange(3)), whole[:3])


def test_made_pictures_are_the_generators_with_the_noise_of_their_batch(model):
    made = Made(model, first_seed=100)
    torch.manual_seed(100)
    img = model.G(latents_of_seeds(range(100, 132), 16), torch.zeros(32, 0), noise_mode="random")
    np.testing.assert_array_equal(made.batch([0, 31]).transpose(0, 2, 3, 1), images.to_uint8(img)[[0, 31]])


def test_making_pictures_leaves_torchs_random_numbers_alone(model):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Made(model).batch([0])
    assert torch.equal(torch.rand(2), expected)


def test_other_seeds_and_other_noise_make_other_pictures(model):
    a, b = Made(model).batch([0, 1]), Made(model, first_seed=2).batch([0, 1])
    assert np.abs(a.astype(int) - b).mean() > 1


def test_labels_are_those_of_random_pictures_of_the_data(write_model, write_pictures):
    data = open_dataset(write_pictures("labelled", 30, labels=3))
    made = Made(open_model(write_model(c_dim=3)), 0, data, (0, 0))
    drawn = made.label_vectors(0, 300)
    assert drawn.shape == (300, 3)
    assert (drawn.sum(dim=0) > 60).all()
    assert torch.equal(made.label_vectors(40, 5), drawn[40:45])
    assert np.isfinite(made.batch([5])).all()


def test_a_network_that_diverged_is_told_of(model):
    model.G.synthesis.b4.const.data.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite numbers; its training diverged"):
        Made(model).batch([0])


def test_the_first_pictures_or_a_random_sample(dataset):
    stored = Stored(dataset)
    assert stored.shape == (3, 16, 16)
    np.testing.assert_array_equal(stored.choose(5, "first", 0), np.arange(5))
    sample = stored.choose(5, "random", 1)
    assert len(set(sample)) == 5
    assert list(sample) == sorted(sample) != list(range(5))
    for everything in (None, 12, 100):
        np.testing.assert_array_equal(stored.choose(everything, "random", 1), np.arange(12))
