"""Pictures of seeds: the batch is no input, truncation and noise mean what they say."""

import numpy as np
import pytest
import torch

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents import generate, latents_of_seeds
from sgtool.latents.generate import default_batch, picture_size
from sgtool.networks import build_generator


def small_generator(c_dim=0, size=16, channels=3):
    torch.manual_seed(1)
    G = build_generator(
        z_dim=16,
        c_dim=c_dim,
        w_dim=16,
        img_resolution=size,
        img_channels=channels,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 256, "channel_max": 16},
    ).eval()
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.3)
    G.mapping.w_avg.normal_()
    return G.requires_grad_(False)


def pictures(G, seeds, *args, **kwargs):
    return np.stack(list(generate(G, seeds, *args, **kwargs)))


@pytest.mark.parametrize("c_dim", [0, 4])
def test_the_batch_does_not_change_a_picture(c_dim):
    G = small_generator(c_dim)
    classes = [seed % 4 for seed in range(10)] if c_dim else None
    alone, together = (pictures(G, range(10), classes, batch=batch).astype(int) for batch in (1, 8))
    assert np.abs(alone - together).max() <= 1
    assert alone.std() > 10


def test_picture_is_the_generators_output_for_the_seeds_latent():
    G = small_generator()
    ws = G.mapping(latents_of_seeds([7], 16), torch.zeros(1, 0), truncation_psi=0.7)
    expected = images.to_uint8(G.synthesis(ws, noise_mode="const"))[0]
    np.testing.assert_array_equal(pictures(G, [7], truncation_psi=0.7)[0], expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [16, [8, 16]])
def test_pictures_have_the_networks_own_channels_and_shape(size, channels):
    G = small_generator(size=size, channels=channels)
    made = pictures(G, [0, 1])
    assert made.dtype == np.uint8
    assert made.shape == (2, *picture_size(G), channels)


def test_psi_zero_is_one_picture_for_all_seeds_and_cutoff_zero_changes_nothing():
    G = small_generator()
    average = pictures(G, [1, 2, 3], truncation_psi=0)
    assert (average == average[0]).all()
    np.testing.assert_array_equal(pictures(G, [1, 2], truncation_psi=0, truncation_cutoff=0), pictures(G, [1, 2]))
    partly = pictures(G, [1, 2], truncation_psi=0, truncation_cutoff=2)
    assert not (partly[0] == partly[1]).all()


def test_classes_change_the_picture():
    G = small_generator(c_dim=3)
    made = pictures(G, [5, 5, 5], [0, 1, 0])
    assert not (made[0] == made[1]).all()
    np.testing.assert_array_equal(made[0], made[2])


def test_noise_modes_differ():
    G = small_generator()
    const, none, random = (pictures(G, [3], noise_mode=mode) for mode in ("const", "none", "random"))
    assert not (const == none).all()
    assert not (const == random).all()


def test_random_noise_belongs_to_the_seed_and_leaves_torchs_random_numbers_alone():
    G = small_generator()
    torch.manual_seed(9)
    expected = torch.randn(2)
    torch.manual_seed(9)
    first = pictures(G, [3, 4, 5], noise_mode="random", batch=3)
    assert torch.equal(torch.randn(2), expected)
    np.testing.assert_array_equal(pictures(G, [5, 3], noise_mode="random"), first[[2, 0]])


def test_pictures_come_one_batch_at_a_time():
    made = []

    def seeds():
        for seed in range(100):
            made.append(seed)
            yield seed

    stream = generate(small_generator(), seeds(), batch=4)
    next(stream)
    assert len(made) == 4


def test_a_class_for_each_seed_is_needed():
    with pytest.raises(ValueError, match="zip"):
        list(generate(small_generator(c_dim=3), [1, 2, 3], [0, 1]))


@pytest.mark.parametrize(("size", "batch"), [(16, 32), (256, 32), (512, 8), (1024, 2), (4096, 1), ([512, 256], 16)])
def test_default_batch_is_two_million_pixels(size, batch):
    class Sized:
        img_resolution = size

    assert default_batch(Sized) == batch


def test_a_diverged_network_is_told():
    G = small_generator()
    G.synthesis.b8.torgb.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="training diverged"):
        list(generate(G, [0]))
