"""How a batch is cut: every picture once, groups of minibatch standard deviation whole."""

import dataclasses

import pytest
import torch

from sgtool.distributed import World
from sgtool.training.shares import own_places, parts_of, places_of
from sgtool.training.step import Batch


def groups(places, group):
    """The minibatch-std groups of a part, as sets of places: picture i belongs to group i mod (N / group)."""
    number = len(places) // group
    return {frozenset(places[j::number]) for j in range(number)}


@pytest.mark.parametrize(("batch", "group"), [(32, 4), (24, 3), (16, 16), (8, 1), (12, 4)])
@pytest.mark.parametrize("parts", [1, 2, 3, 4, 8])
def test_the_same_pictures_form_a_group_however_a_batch_is_cut(batch, group, parts):
    if batch % parts or (batch // parts) % group:
        pytest.skip("a group does not fit into a part")
    cut = [places_of(number, parts, batch, group) for number in range(parts)]
    assert sorted(place for places in cut for place in places) == list(range(batch))
    whole = groups(list(range(batch)), group)
    assert set().union(*(groups(places, group) for places in cut)) == whole


@pytest.mark.parametrize("size", [1, 2, 4])
def test_processes_share_a_batch_the_same_way_however_much_each_computes_at_a_time(config, size):
    config = dataclasses.replace(config, batch=32, mbstd_group=4)
    for rank in range(size):
        world = World(rank, size)
        found = {
            tuple(own_places(dataclasses.replace(config, batch_gpu=each), world)) for each in (4, 8, 32) if each <= 32 // size
        }
        assert len(found) == 1
    everything = [p for r in range(size) for p in own_places(dataclasses.replace(config, batch_gpu=8), World(r, size))]
    assert sorted(everything) == list(range(32))


def test_parts_hold_the_pictures_of_their_places(config):
    config = dataclasses.replace(config, batch=16, batch_gpu=4, mbstd_group=2)
    world = World(1, 2)
    images = torch.tensor(own_places(config, world)).float()[:, None, None, None]
    parts = parts_of(Batch(images, images[:, :, 0, 0]), config, world, (0, 0, 0, 0))
    assert [part.number for part in parts] == [2, 3]
    for part in parts:
        assert part.images.flatten().tolist() == part.places == part.c.flatten().tolist()


def test_draws_of_different_kinds_differ_and_those_of_fewer_pictures_follow_on(config):
    config = dataclasses.replace(config, batch=16, batch_gpu=8, mbstd_group=2)
    images = torch.zeros(16, 1, 2, 2)
    one, two = parts_of(Batch(images, images[:, 0, 0]), config, World(), (0, 0, 3, 1))
    kinds = [one.draws().normals(2), one.augmentation().normals(2), one.real_augmentation().normals(2), one.shared().normals(2)]
    assert len({float(x[0, 0]) for x in kinds}) == 4
    assert torch.equal(one.shared().normals(2), two.shared().normals(2))
    (whole,) = parts_of(Batch(images, images[:, 0, 0]), dataclasses.replace(config, batch_gpu=16), World(), (0, 0, 3, 1))
    assert torch.equal(whole.draws(8).normals(2), torch.cat([one.draws(4).normals(2), two.draws(4).normals(2)]))
