"""Random numbers that are functions of their place."""

import itertools

import pytest
import torch

from sgtool.networks import build_generator
from sgtool.training.randomness import BLOCK, Draws, Noise, stream_seed


def test_numbers_of_a_picture_do_not_depend_on_its_neighbours():
    one, all_of_them = Draws([7, 8, 9]), Draws([5, 7, 9, 8])
    for method in (lambda d: d.uniform(), lambda d: d.normal(), lambda d: d.below(1000), lambda d: d.normals(3, 2)):
        few, many = method(one), method(all_of_them)
        assert torch.equal(few, many[[1, 3, 2]])


def test_small_numbers_come_in_one_row_however_many_are_asked_for():
    draws, again = Draws([3, 4]), Draws([3, 4])
    first = [draws.uniform() for _ in range(3 * BLOCK)]
    assert torch.equal(torch.stack(first), torch.stack([again.uniform() for _ in range(3 * BLOCK)]))
    assert len({float(value) for column in first for value in column}) == 6 * BLOCK
    flat = torch.stack(first)
    assert abs(float(flat.mean()) - 0.5) < 0.06
    assert 0 <= float(flat.min()) < float(flat.max()) < 1


def test_normals_are_normal_and_below_is_below():
    draws = Draws(range(50))
    x = draws.normals(40, 10)
    assert abs(float(x.mean())) < 0.03
    assert abs(float(x.std()) - 1) < 0.03
    assert set(torch.cat([draws.below(3) for _ in range(5)]).tolist()) == {0, 1, 2}


def test_joined_draws_are_those_of_their_parts():
    both = Draws([1, 2]) + Draws([3])
    assert len(both) == 3
    assert torch.equal(both.normals(4), torch.cat([Draws([1, 2]).normals(4), Draws([3]).normals(4)]))


def test_every_part_of_a_key_gives_other_seeds():
    seeds = [stream_seed(*key) for key in itertools.product([0, 1], [0, 1], range(5), range(4), range(4), range(16))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed(1, 2, 3, 4, 5, 6) == stream_seed(1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("resolution", [16, [8, 16]])
def test_noise_reaches_each_layer_once(resolution):
    G = build_generator(z_dim=4, w_dim=4, c_dim=0, img_resolution=resolution, img_channels=1, channel_base=64, channel_max=4)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.ones_(parameter)
    ws = torch.randn(3, G.num_ws, 4)
    found = G.synthesis(ws, noise_mode=Noise(Draws([1, 2, 3]), G.synthesis))
    again = G.synthesis(ws, noise_mode=Noise(Draws([1, 2, 3]), G.synthesis))
    other = G.synthesis(ws, noise_mode=Noise(Draws([1, 2, 4]), G.synthesis))
    assert torch.equal(found, again)
    assert torch.equal(found[:2], other[:2])
    assert not torch.equal(found[2], other[2])
    handed = []
    noise = Noise(Draws([1]), G.synthesis)
    G.synthesis(ws[:1], noise_mode=lambda height, width: handed.append((height, width)) or noise(height, width))
    assert handed == G.synthesis.noise_shapes
