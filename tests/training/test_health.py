"""Numbers that are not finite: found, counted by layer, told, and what follows."""

import math
from types import SimpleNamespace

import pytest
import torch

from sgtool.distributed.world import ALONE
from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.training.health import STREAK, UNSETTLED, WINDOW, Health, NumbersGuard, not_finite
from sgtool.training.meter import Meter
from sgtool.training.rollback import Rollback

LAYER = "D.b8.conv1.weight"


@pytest.fixture
def state():
    """Networks of 8x8 pictures whose parameters have gradients and whose optimizers have made a step."""
    torch.manual_seed(1)
    sizes = {"c_dim": 0, "img_resolution": 8, "img_channels": 1}
    widths = {"channel_base": 64, "channel_max": 8}
    G, G_ema = (build_generator(z_dim=8, w_dim=8, **sizes, synthesis_kwargs=widths) for _ in range(2))
    D = build_discriminator(**sizes, **widths)
    state = SimpleNamespace(G=G, D=D, G_ema=G_ema, meter=Meter(), nimg=4000, world=ALONE, pl_mean=torch.zeros([]))
    state.health = Health({"G": G, "D": D})
    for name in ("G", "D"):
        network = getattr(state, name)
        optimizer = torch.optim.Adam(network.parameters())
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, 0.01)
        optimizer.step()
        setattr(state, f"opt_{name}", optimizer)
    return state


@pytest.fixture
def guard(state, tmp_path):
    """Function that gives a guard for `on_nan`, with its `lines` and `told` events."""

    def make(on_nan="rollback"):
        lines, told = [], []
        guard = NumbersGuard(lines.append, lambda kind, text, nimg, **facts: told.append((kind, facts)), tmp_path)
        state.config = SimpleNamespace(on_nan=on_nan)
        guard.lines, guard.told = lines, told
        return guard

    return make


def poison(state, value=math.inf, layer="b8.conv1.weight"):
    gradient = state.D.get_parameter(layer).grad
    gradient[(0,) * gradient.ndim] = value


def heal(state):
    for parameter in state.D.parameters():
        parameter.grad.fill_(0.01)


def test_finite_gradients_are_measured_and_let_the_step_be_done(state):
    assert state.health.seen("D", state.meter, "Dmain", [torch.tensor(1.5)])
    norm = torch.cat([p.grad.flatten() for p in state.D.parameters()]).norm()
    row = state.meter.flush()["Gradients/D/norm"]
    assert row["mean"] == pytest.approx(float(norm), rel=1e-5)
    assert state.health.counts == {}
    assert not state.health.take_news()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_leaves_the_step_out_and_its_layer_is_counted(state, bad):
    poison(state, bad)
    assert not state.health.seen("D", state.meter)
    assert state.health.counts == {LAYER: 1}
    assert state.health.take_news()
    assert not state.health.take_news()
    assert state.meter.flush() == {}
    assert not bool(state.D.b8.conv1.weight.grad.isfinite().all())  # not made 0


def test_gradients_that_are_huge_but_finite_are_no_fault(state):
    state.D.b8.conv1.weight.grad.fill_(1e30)  # its squares are no float32
    assert state.health.seen("D", state.meter)
    assert state.health.counts == {}


def test_a_layer_without_gradient_is_passed_over(state):
    state.D.b8.fromrgb.weight.grad = None
    assert state.health.seen("D", state.meter)
    for parameter in state.D.parameters():
        parameter.grad = None
    assert state.health.seen("D", state.meter)


def test_a_loss_that_is_not_finite_is_counted_by_its_phase(state):
    assert state.health.seen("G", state.meter, "Greg", [torch.tensor(math.nan), torch.tensor(1.0)])
    assert state.health.counts == {"loss of Greg": 1}


def test_occasional_overflow_as_of_half_precision_is_no_streak(state, guard):
    watch = guard()
    for step in range(60):
        heal(state)
        if step % 5 == 0:
            poison(state)
        state.health.seen("D", state.meter)
        watch.between_steps(state)
        assert not state.health.is_unsettled
    assert state.health.counts == {LAYER: 12}
    assert len(watch.lines) == 1  # the first time; then at ticks


def test_a_streak_goes_back_and_names_its_layer(state, guard):
    watch = guard()
    for _ in range(STREAK - 1):
        poison(state)
        state.health.seen("D", state.meter)
        watch.between_steps(state)
    state.health.seen("D", state.meter)
    with pytest.raises(Rollback, match="8 of the last 10 steps of the discriminator") as caught:
        watch.between_steps(state)
    assert (caught.value.remedy, caught.value.layers) == ("numbers", (LAYER,))


def test_a_streak_in_one_network_is_not_hidden_by_the_other(state):
    poison(state)
    for _ in range(STREAK):
        state.health.seen("D", state.meter)
        for _ in range(3):
            state.health.seen("G", state.meter)
    assert state.health.streak == "D"


def test_a_streak_under_stop_ends_the_run_in_a_sentence_that_names_the_way_on(state, guard, tmp_path):
    watch = guard("stop")
    poison(state)
    for _ in range(STREAK):
        state.health.seen("D", state.meter)
    with pytest.raises(UserError) as caught:
        watch.between_steps(state)
    assert f"sgtool train --resume {tmp_path} --on-nan rollback" in caught.value.message
    assert watch.told[-1] == ("fault", {"layers": [LAYER]})
    assert not state.health.is_sound(state)  # so that no checkpoint of this moment is written


def test_counts_are_told_with_the_first_step_and_then_at_ticks_where_they_have_grown(state, guard):
    watch = guard()
    poison(state)
    state.health.seen("D", state.meter)
    watch.between_steps(state)
    watch(state, None)
    assert len(watch.lines) == 1
    assert watch.lines[0].endswith(f"Steps by layer: {LAYER}: 1")
    poison(state, math.nan, "b4.fc.bias")
    state.health.seen("D", state.meter)
    watch.between_steps(state)
    assert len(watch.lines) == 1
    watch(state, None)
    assert watch.lines[1] == f"Steps left out, by layer: {LAYER}: 2, D.b4.fc.bias: 1"
    assert watch.told[-1] == ("skip", {"layers": {LAYER: 2, "D.b4.fc.bias": 1}})


def test_many_layers_are_told_as_the_first_three_and_a_number(state):
    for parameter in state.D.parameters():
        parameter.grad.fill_(math.nan)
    state.health.seen("D", state.meter)
    number = len(list(state.D.parameters()))
    assert state.health.words().endswith(f" and {number - 3} more")
    assert state.health.words().count(": 1") == 3


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (lambda s: s.G.synthesis.b8.conv1.weight, "G.synthesis.b8.conv1.weight"),
        (lambda s: s.G_ema.synthesis.b4.const, "G_ema.synthesis.b4.const"),
        (lambda s: s.G_ema.mapping.w_avg, "G_ema.mapping.w_avg"),
        (lambda s: s.D.b4.out.bias, "D.b4.out.bias"),
        (lambda s: s.opt_D.state[s.D.b4.out.bias]["exp_avg_sq"], "D.b4.out.bias (exp_avg_sq of its optimizer)"),
        (lambda s: s.pl_mean, "pl_mean"),
    ],
)
def test_one_weight_that_is_not_finite_is_found_at_the_tick(state, guard, where, named):
    assert not_finite(state) == []
    assert state.health.is_sound(state)
    guard()(state, None)
    with torch.no_grad():
        tensor = where(state)
        tensor[(0,) * tensor.ndim] = math.nan
    assert not_finite(state) == [named]
    assert not state.health.is_sound(state)
    with pytest.raises(Rollback, match="holds numbers that are not finite") as caught:
        guard()(state, None)
    assert caught.value.layers == (named,)


def test_large_weights_are_not_taken_for_infinite_ones(state):
    with torch.no_grad():
        state.D.b8.conv1.weight.fill_(1e30)
    assert not_finite(state) == []


def test_a_moment_with_many_steps_left_out_is_none_to_go_back_to(state):
    poison(state)
    for number in range(UNSETTLED):
        assert state.health.is_sound(state), number
        state.health.seen("D", state.meter)
    assert not state.health.is_sound(state)
    heal(state)
    for _ in range(WINDOW):
        state.health.seen("D", state.meter)
    assert state.health.is_sound(state)


def test_counts_and_streaks_go_on_after_a_resume(state):
    poison(state)
    for _ in range(STREAK - 1):
        state.health.seen("D", state.meter)
    other = Health({"G": state.G, "D": state.D})
    other.load_state_dict(state.health.state_dict())
    assert other.counts == state.health.counts
    assert other.streak is None
    other.seen("D", state.meter)
    assert other.streak == "D"
