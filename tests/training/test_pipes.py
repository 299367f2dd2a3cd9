"""Augmentations by name: what a text means, how it is written shortest, and what is refused."""

import itertools

import pytest
import torch

from sgtool.errors import UserError
from sgtool.training.augment import PIPES, AugmentOptions, AugmentPipe
from sgtool.training.augment import TRANSFORMS as PIPES_TRANSFORMS
from sgtool.training.pipes import COLOR, SETS, TRANSFORMS, pipe_of, recolours, transforms_of, written


def test_sets_and_transforms_are_those_of_the_pipe():
    assert {name: pipe_of(name) for name in SETS} == PIPES
    assert TRANSFORMS == PIPES_TRANSFORMS
    assert set(TRANSFORMS) <= set(AugmentOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("text", "transforms"),
    [
        ("xflip,rotate90,brightness", ("xflip", "rotate90", "brightness")),
        ("brightness + xflip", ("xflip", "brightness")),
        ("bg,noise", (*SETS["bg"], "noise")),
        ("blit+blit,xint", SETS["blit"]),
        ("imgfilter", ("imgfilter",)),
    ],
)
def test_names_are_joined_by_commas_or_plus_signs_in_any_order(text, transforms):
    assert transforms_of(text) == transforms


@pytest.mark.parametrize(
    ("text", "short"),
    [
        *((name, name) for name in SETS),
        ("brightness,geom,blit", "bg+brightness"),
        ("imgfilter", "filter"),
        ("cutout,xflip", "xflip+cutout"),
        ("color,blit", "blit+color"),
        (",".join(TRANSFORMS), "bgcfnc"),
        ("noise,bgcf", "bgcfn"),
        ("bgc,noise", "bgc+noise"),
    ],
)
def test_the_same_transforms_are_written_in_one_way(text, short):
    assert written(text) == short
    assert transforms_of(short) == transforms_of(text)


def test_what_is_written_is_read_as_the_same_for_all_pairs_of_names():
    for pair in itertools.product([*SETS, *TRANSFORMS], repeat=2):
        text = ",".join(pair)
        assert transforms_of(written(text)) == transforms_of(text)
        assert written(written(text)) == written(text)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_single_transform_changes_pictures_and_leaves_them_alone_at_zero(name):
    torch.manual_seed(0)
    x, pipe = torch.rand(8, 3, 16, 16) * 2 - 1, AugmentPipe(**pipe_of(name))
    assert torch.equal(pipe(x, 0.0), x)
    changed = pipe(x, 1, debug_percentile=0.7)
    assert changed.shape == x.shape
    assert not torch.equal(changed, x)


def test_only_colour_transforms_recolour():
    assert [name for name in TRANSFORMS if recolours(name)] == list(COLOR)
    assert recolours("bgc")
    assert not recolours("bg+filter,noise,cutout")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("xflop", "--augpipe xflop: xflop is no augmentation. Did you mean xflip?"),
        ("bg,,noise", "--augpipe bg,,noise: an empty name is no augmentation. There are the sets blit, geom,"),
        ("", "--augpipe : an empty name is no augmentation."),
        ("none", "none at all: --aug noaug."),
        ("BGC", "BGC is no augmentation."),
        ("xflip=0.5", "xflip=0.5 is no augmentation. Did you mean xflip?"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(text, words):
    with pytest.raises(UserError) as error:
        transforms_of(text)
    assert words in error.value.message
