"""Signs of a collapse: which rows of numbers raise an alarm and which do not, what is measured, and what follows."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.distributed.world import ALONE
from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.training import collapse
from sgtool.training.collapse import PAUSE, CollapseGuard, Signs, Vitals, vitals_of
from sgtool.training.rollback import HEALTHY, Rollback
from sgtool.training.vitals import PICTURES, Sample, check_held_out, likeness


@pytest.fixture
def kinds(config):
    """Function that gives [(tick, kind of alarm)] for a list of `Vitals`."""

    def read(vitals, **changes):
        signs = Signs(dataclasses.replace(config, **changes))
        return [(tick, alarm.kind) for tick, one in enumerate(vitals) for alarm in signs.read(one)]

    return read


def test_a_healthy_run_raises_no_alarm(kinds):
    """The figures of a run on CryptoPunks and of one on digits: the least varied and the surest moments of both."""
    punks = [Vitals(variety=v, rt=0.73, rv=0.09, loss_D=0.43, norms={"G": 1.9, "D": 1.2}) for v in (1.18, 0.72, 0.65, 0.83)]
    digits = [Vitals(variety=v, rt=0.89, rv=0.05, loss_D=0.77, norms={"G": 0.5, "D": 2.2}) for v in (0.86, 0.77, 0.9)]
    assert kinds(30 * punks) == []
    assert kinds(30 * digits, aug="noaug") == []


def test_pictures_alike_in_three_measurements_in_a_row_are_a_collapse(kinds):
    low, good, none = Vitals(variety=0.1), Vitals(variety=0.6), Vitals()
    assert kinds([low, low, good, low, low]) == []
    assert kinds([low, none, low, none, low]) == [(4, "diversity")]


def test_each_kind_is_told_once_in_fifty_ticks(kinds):
    found = kinds((2 + PAUSE + 1) * [Vitals(variety=0.1)])
    assert found == [(2, "diversity"), (2 + PAUSE, "diversity")]


def test_a_discriminator_that_is_sure_is_told_only_once_ada_can_do_no_more(kinds):
    sure = Vitals(rt=0.99)
    assert kinds(30 * [sure]) == []
    assert kinds(9 * [dataclasses.replace(sure, at_limit=True)]) == []
    assert kinds(30 * [sure] + 10 * [dataclasses.replace(sure, at_limit=True)]) == [(39, "overfitting")]
    assert kinds(10 * [sure], aug="noaug") == [(9, "overfitting")]


def test_held_out_pictures_taken_for_fakes_are_told(kinds):
    assert kinds(2 * [Vitals(rv=0.9)] + [Vitals(rv=0.5)] + 2 * [Vitals(rv=0.9)]) == []
    assert kinds(3 * [Vitals(rv=0.9)]) == [(2, "held-out")]


def test_gradients_that_grow_a_hundredfold_over_their_median_are_told(kinds):
    usual = [Vitals(norms={"G": 1.0 + 0.1 * (i % 3), "D": 2.0}) for i in range(20)]
    assert kinds([*usual, Vitals(norms={"G": 90.0, "D": 2.0})]) == []
    assert kinds([*usual, Vitals(norms={"G": 1.0, "D": 201.0})]) == [(20, "gradients")]
    assert kinds([*usual[:5], Vitals(norms={"G": 1e4})]) == []  # too few to know what is usual


def test_a_discriminator_without_effort_is_told_after_ten_ticks(kinds):
    assert kinds(9 * [Vitals(loss_D=0.01)] + [Vitals(loss_D=0.3)] + 9 * [Vitals(loss_D=0.01)]) == []
    assert kinds(10 * [Vitals(loss_D=0.01)]) == [(9, "loss")]


def test_warnings_name_the_option_and_its_new_value(config):
    signs = Signs(dataclasses.replace(config, gamma=0.5, glr=0.002, aug="noaug", mirror=False))
    for _ in range(10):
        alarms = signs.read(Vitals(variety=0.1, rt=1.0, loss_D=0.01, rv=1.0, norms={"G": 1.0}))
        for alarm in alarms:
            texts = {**locals().get("texts", {}), alarm.kind: alarm.text}
    assert "half the --glr (0.001)" in texts["diversity"]
    assert "twice the --gamma: 1." in texts["diversity"]
    assert "--aug ada" in texts["overfitting"]
    assert "--mirror 1" in texts["overfitting"]
    assert "--gamma to 1 or more" in texts["loss"]
    assert "--resume" in texts["held-out"]


def test_a_gamma_of_nothing_is_not_doubled(config):
    signs = Signs(dataclasses.replace(config, gamma=0.0))
    alarms = [alarm for _ in range(3) for alarm in signs.read(Vitals(variety=0.0))]
    assert "a value above 0" in alarms[0].text


def test_vitals_are_read_from_a_tick_and_what_is_not_finite_is_left_out():
    stats = {"Loss/signs/real": {"mean": 0.5}, "Loss/D/loss": {"mean": math.nan}, "Gradients/G/norm": {"mean": 2.0}}
    found = vitals_of(SimpleNamespace(ada=SimpleNamespace(at_limit=True)), SimpleNamespace(stats=stats))
    assert found == Vitals(rt=0.5, loss_D=None, norms={"G": 2.0}, at_limit=True)


@pytest.fixture
def sample(data, config):
    return Sample(open_dataset(data), None, config, "cpu")


@pytest.fixture
def state(config):
    """Networks for the pictures of `data`."""
    torch.manual_seed(0)
    sizes = {"c_dim": config.c_dim, "img_resolution": 16, "img_channels": 1}
    widths = {"channel_base": 64, "channel_max": 8}
    G = build_generator(z_dim=config.z_dim, w_dim=8, **sizes, synthesis_kwargs=widths).eval()
    ada = SimpleNamespace(at_limit=False)
    return SimpleNamespace(
        G_ema=G,
        D=build_discriminator(**sizes, **widths),
        config=config,
        ada=ada,
        nimg=4000,
        elapsed=0.0,
        world=ALONE,
        rollbacks=[],
    )


def test_one_picture_over_and_over_has_no_variety(sample, state, monkeypatch):
    one = np.random.RandomState(0).randint(0, 256, [1, 16, 16, 1], dtype=np.uint8)
    monkeypatch.setattr("sgtool.training.vitals.render", lambda G, z, c: np.repeat(one, len(z), axis=0))
    vitals, stats = Vitals(), {}
    sample.measure(state, vitals, stats)
    assert vitals.variety == pytest.approx(0, abs=1e-6)
    assert stats["Health/diversity"] == {"num": 1, "mean": vitals.variety, "std": 0.0}


def test_pictures_like_the_real_ones_have_all_their_variety(sample, state, data, monkeypatch):
    dataset = open_dataset(data)
    reals = np.stack([dataset[i % 50][0] for i in range(PICTURES)]).transpose(0, 2, 3, 1)
    monkeypatch.setattr("sgtool.training.vitals.render", lambda G, z, c: reals)
    vitals = Vitals()
    sample.measure(state, vitals, {})
    assert vitals.variety == pytest.approx(1, abs=0.05)


def test_large_pictures_are_compared_small():
    rng = np.random.RandomState(0)
    small = rng.randint(0, 256, [8, 3, 64, 64], dtype=np.uint8)
    large = small.repeat(4, axis=2).repeat(4, axis=3)
    assert likeness(large) == pytest.approx(likeness(small), abs=1e-9)


def test_a_discriminator_that_knows_its_pictures_by_heart_is_measured(data, config, state, write_dataset, tmp_path):
    """D here is the picture's mean: training pictures are made bright, held-out ones dark, and fakes are black."""
    trained, other = open_dataset(data), open_dataset(write_dataset(tmp_path / "other.zip", seed=9))
    sample = Sample(trained, other, config, "cpu")
    sample.trained = torch.full_like(sample.trained[0], 255), sample.trained[1]
    sample.held_out = torch.zeros_like(sample.held_out[0]), sample.held_out[1]

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones([]))

        def forward(self, img, c):
            return self.scale * img.mean(dim=(1, 2, 3))[:, None]

    state.D = Mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgtool.training.vitals.render", lambda G, z, c: np.full([len(z), 16, 16, 1], 51, np.uint8))
        vitals, stats = Vitals(), {}
        sample.measure(state, vitals, stats)
    assert stats["Health/real_minus_heldout"]["mean"] == pytest.approx(2.0)
    assert vitals.rv == pytest.approx(2.0 / 1.6, rel=1e-5)


def test_measuring_works_with_real_networks_and_draws_no_random_number(data, config, state, write_dataset, tmp_path):
    sample = Sample(open_dataset(data), open_dataset(write_dataset(tmp_path / "other.zip", number=7, seed=9)), config, "cpu")
    before, vitals, stats = torch.get_rng_state(), Vitals(), {}
    sample.measure(state, vitals, stats)
    assert torch.equal(torch.get_rng_state(), before)
    assert 0 < vitals.variety < 3
    assert math.isfinite(stats["Health/real_minus_heldout"]["mean"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (8, 8)}, "its pictures are 8x8 with 1 channels, those of the training 16x16"),
        ({"channels": 3}, "with 3 channels"),
        ({"classes": 2}, "its labels have width 2, those of the training 3"),
        ({"classes": None}, "its labels have width 0"),
        ({"seed": 0}, "these are the pictures of the training"),
    ],
)
def test_held_out_pictures_that_do_not_fit_are_refused(data, config, write_dataset, tmp_path, changes, message):
    other = open_dataset(write_dataset(tmp_path / "other.zip", **{"seed": 9, **changes}))
    with pytest.raises(UserError, match=message):
        check_held_out(other, open_dataset(data), config)


class Measured:
    """Gives varieties in order, in the place of `Sample`; a measurement takes a second of a made-up clock."""

    def __init__(self, values, clock):
        self.values, self.clock, self.number = iter(values), clock, 0

    def measure(self, state, vitals, stats):
        vitals.variety = next(self.values)
        self.clock[0] += 1.0
        self.number += 1


@pytest.fixture
def guard(state, tmp_path, config, monkeypatch):
    """Function that gives a guard over varieties in order, with its `lines`."""
    clock = [0.0]
    monkeypatch.setattr(collapse.time, "perf_counter", lambda: clock[0])

    def make(values, on_collapse="warn"):
        lines = []
        state.config = dataclasses.replace(config, on_collapse=on_collapse)
        guard = CollapseGuard(tmp_path, state.config, Measured(values, clock), lines.append, lambda *given, **facts: None)
        guard.lines = lines
        return guard

    return make


def ticks(guard, state, number):
    for i in range(number):
        state.elapsed += 1000
        guard(state, SimpleNamespace(number=i + 1, stats={}))


def test_measuring_takes_a_hundredth_of_the_time_at_most(guard, state):
    watch = guard([0.5] * 50)
    for i in range(1000):
        state.elapsed += 1.0
        watch(state, SimpleNamespace(number=i + 1, stats={}))
    assert watch.sample.number == 10


def test_the_untrained_generator_is_not_measured(guard, state):
    watch = guard([])
    watch(state, SimpleNamespace(number=0, stats={}))
    assert watch.sample.number == 0


def test_a_collapse_is_a_warning_where_nothing_else_was_asked_for(guard, state):
    watch = guard([0.8, 0.1, 0.1, 0.1])
    ticks(watch, state, 4)
    assert len(watch.lines) == 1
    assert watch.lines[0].startswith("Warning: The generated pictures are nearly all alike (10% of the variety of the real ones)")


def test_a_collapse_goes_back_to_the_checkpoint_from_before_its_first_sign(guard, state, tmp_path):
    watch = guard([0.8, 0.9, 0.4, 0.1, 0.1, 0.1], "rollback")
    (tmp_path / "checkpoint.pkl").write_text("varied")
    ticks(watch, state, 2)
    assert not (tmp_path / HEALTHY).exists()
    ticks(watch, state, 1)
    (tmp_path / "checkpoint.new").write_text("alike")
    (tmp_path / "checkpoint.new").replace(tmp_path / "checkpoint.pkl")
    with pytest.raises(Rollback, match="nearly all alike") as caught:
        ticks(watch, state, 3)
    assert caught.value.remedy == "collapse"
    assert (tmp_path / HEALTHY).read_text() == "varied"


def test_a_collapse_without_a_checkpoint_from_before_is_a_warning(guard, state):
    watch = guard([0.1] * 5, "rollback")
    ticks(watch, state, 5)
    assert len(watch.lines) == 1


def test_on_the_way_to_where_it_collapsed_before_the_checkpoint_gone_back_to_is_kept(guard, state, tmp_path):
    (tmp_path / HEALTHY).write_text("first")
    (tmp_path / "checkpoint.pkl").write_text("second")
    state.rollbacks = [{"nimg": 5000, "to": 3000, "reason": "all alike"}]
    ticks(guard([0.9, 0.4, 0.8]), state, 3)
    assert (tmp_path / HEALTHY).read_text() == "first"
    state.nimg = 6000
    ticks(guard([0.9, 0.4]), state, 2)
    assert (tmp_path / HEALTHY).read_text() == "second"
