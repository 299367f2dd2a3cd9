"""What counts as the same: rounding, and nothing else."""

import pytest
import torch

from sgtool.errors import UserError
from sgtool.models.compare import RUNTIME, difference, outputs
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot

SIZES = {"channel_base": 64, "channel_max": 8}


def networks(epilogue=None, **changes):
    torch.manual_seed(0)
    shape = {"c_dim": 2, "img_resolution": 8, "img_channels": 3}
    G = build_generator(z_dim=8, w_dim=8, **shape, synthesis_kwargs=SIZES | {"num_fp16_res": 2})
    D = build_discriminator(**shape | changes, **SIZES, epilogue_kwargs=epilogue or {})
    return Snapshot(G.eval(), None, D.eval())


def test_each_network_is_asked_for_four_seeds_and_their_classes(one_thread):
    snapshot = networks()
    results = outputs(snapshot)
    assert results.keys() == {"G_ema", "D"}
    assert results["G_ema"].shape == (4, 3, 8, 8)
    labels = torch.eye(2)[[0, 1, 0, 1]]
    assert torch.equal(results["D"], snapshot.D(results["G_ema"], labels))
    other = outputs(snapshot, torch.zeros(4, 3, 8, 8))
    assert torch.equal(other["D"], snapshot.D(torch.zeros(4, 3, 8, 8), labels))


@pytest.mark.parametrize(("group", "number"), [(1, 4), (2, 4), (3, 3), (4, 4), (8, 4), (None, 4)])
def test_the_batch_fits_ds_groups(one_thread, group, number):
    assert len(outputs(networks({"mbstd_group_size": group}))["D"]) == number


def test_pictures_that_are_not_finite_are_told(one_thread):
    snapshot = networks()
    snapshot.G_ema.synthesis.b8.torgb.bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match="The pictures of G_ema are not finite numbers"):
        outputs(snapshot)


def test_a_discriminator_of_other_pictures_is_told(one_thread):
    with pytest.raises(UserError, match=r"D does not judge the pictures that G_ema makes .* --networks G_ema"):
        outputs(networks(img_channels=1))


@pytest.mark.parametrize(
    ("change", "relative", "is_rounding"),
    [(0, 1e-6, True), (1.9e-6, 1e-6, True), (2.1e-6, 1e-6, False), (2e-4, RUNTIME, True), (float("nan"), RUNTIME, False)],
)
def test_rounding_is_a_share_of_the_largest_magnitude(change, relative, is_rounding):
    before = torch.tensor([0.0, -2.0], dtype=torch.float64)
    after = before + torch.tensor([change, 0.0], dtype=torch.float64)
    assert difference("G", before, after, relative).is_rounding == is_rounding


def test_another_shape_is_no_rounding():
    with pytest.raises(UserError, match="gives .4, 1. numbers after the conversion, and gave .4, 2. before"):
        difference("D", torch.zeros(4, 2), torch.zeros(4, 1))


def test_an_average_that_was_lost_is_noticed(one_thread):
    snapshot = networks()
    before = outputs(snapshot)["G_ema"]
    snapshot.G_ema.mapping.w_avg += 1
    after = outputs(snapshot)["G_ema"]
    assert torch.equal(after[:3], before[:3])
    assert not difference("G_ema", before, after).is_rounding


def test_a_generator_without_an_average_is_compared_as_it_is(one_thread):
    snapshot = networks()
    snapshot.G_ema = build_generator(**snapshot.G_ema.init_kwargs | {"mapping_kwargs": {"w_avg_beta": None}}).eval()
    assert outputs(snapshot)["G_ema"].shape == (4, 3, 8, 8)
