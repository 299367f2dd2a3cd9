"""One training step: phases and their intervals, accumulation, averages, and gradients that are no numbers."""

import copy
import dataclasses
import itertools
import math

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.training import step as step_module
from sgtool.training.beginning import make_augment
from sgtool.training.data import Loader
from sgtool.training.losses import discriminator_loss
from sgtool.training.shares import Part
from sgtool.training.state import TrainState
from sgtool.training.step import PHASES, Batch, d_main, draw_styles, run_phase, train_step, update_average

GMAIN, GREG, DMAIN, DREG = PHASES


def unchanged(images, p, draws):
    return images


def whole(config, real, c):
    """The one part of a batch that is computed at a time."""
    return Part(real, c, None, 0, list(range(len(real))), (config.seed, 0, 0, 2))


@pytest.fixture
def make(data, config):
    """Function that gives (state, config, batches) of a new run with changed configuration."""
    loaders = []

    def build(**changes):
        changed = dataclasses.replace(config, **changes)
        loaders.append(Loader(open_dataset(data), changed, 0, "cpu"))
        return TrainState.fresh(changed, "cpu"), changed, loaders[-1]

    yield build
    for loader in loaders:
        loader.close()


def test_phases_run_at_their_intervals(make, monkeypatch):
    state, config, batches = make()
    seen = []
    monkeypatch.setattr(step_module, "run_phase", lambda phase, *rest: seen.append((state.step, phase.name)))
    state.ada.observe(torch.ones(1))
    for batch in itertools.islice(batches, 33):
        train_step(state, config, batch, unchanged)
        state.ada.observe(torch.ones(1))
    every = {name: [step for step, phase in seen if phase == name] for name in ("Gmain", "Greg", "Dmain", "Dreg")}
    assert every["Gmain"] == every["Dmain"] == list(range(33))
    assert every["Greg"] == list(range(0, 33, 4))
    assert every["Dreg"] == [0, 16, 32]
    assert [phase for step, phase in seen if step == 0] == ["Gmain", "Greg", "Dmain", "Dreg"]
    assert (state.step, state.nimg) == (33, 33 * 8)


def test_regularizers_of_weight_0_are_left_out(make, monkeypatch):
    state, config, batches = make(pl_weight=0.0, gamma=0.0)
    seen = []
    monkeypatch.setattr(step_module, "run_phase", lambda phase, *rest: seen.append(phase.name))
    state.ada.observe(torch.ones(1))
    train_step(state, config, next(batches), unchanged)
    assert seen == ["Gmain", "Dmain"]


def test_a_phase_moves_its_own_network_alone(make):
    state, config, batches = make()
    batch = next(batches)
    before = copy.deepcopy({"G": state.G.state_dict(), "D": state.D.state_dict()})
    run_phase(DMAIN, 1, state, config, batch, unchanged)
    assert all(torch.equal(tensor, before["G"][name]) for name, tensor in state.G.state_dict().items())
    assert not torch.equal(state.D.b16.conv0.weight, before["D"]["b16.conv0.weight"])
    assert all(parameter.requires_grad for network in (state.G, state.D) for parameter in network.parameters())
    assert all(parameter.grad is None for parameter in state.G.parameters())


def test_frozen_layers_stay_as_they_are(make):
    state, config, batches = make(freezed=3)
    before = copy.deepcopy(state.D.state_dict())
    for batch in itertools.islice(batches, 2):
        train_step(state, config, batch, unchanged)
    moved = {name.rpartition(".")[0] for name, tensor in state.D.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not moved & {"b16.fromrgb", "b16.conv0", "b16.conv1"}
    assert {"b16.skip", "b8.conv0", "b4.out"} <= moved


def test_d_judges_real_and_generated_pictures_apart(make):
    """One pass of D over both; what it says of the one must not depend on the other."""
    torch.manual_seed(5)
    real, fake, other = torch.randn(3, 8, 1, 16, 16).unbind()
    state, config, _ = make(c_dim=0)
    no_labels = torch.zeros(8, 0)

    def loss_of(generated):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step_module, "generate", lambda *given: (generated, no_labels, None))
            return d_main(state, config, whole(config, real, no_labels), unchanged, None)[0]

    expected = discriminator_loss(state.D(fake), state.D(real))
    torch.testing.assert_close(loss_of(fake), expected)
    difference = loss_of(other) - loss_of(fake)
    torch.testing.assert_close(difference, discriminator_loss(state.D(other), state.D(real)) - expected, rtol=1e-3, atol=1e-5)


def after(make, phase, batch, images, pipe, **changes):
    """The state after one phase of a run with fixed weights and labels, however the batch is cut."""
    state, config, _ = make(c_dim=0, style_mixing_prob=1.0, **changes)
    optimizer = getattr(state, f"opt_{phase.network}")
    optimizer.step = lambda: None
    run_phase(phase, 4, state, config, Batch(images, torch.zeros(batch, 0)), pipe)
    return state


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("batch_gpu", [4, 2, 1])
def test_a_phase_does_not_depend_on_how_the_batch_is_cut(make, phase, batch_gpu):
    """Gradients, statistics and running means; minibatch-std groups of as many as fit into the smallest part."""
    torch.manual_seed(5)
    images = torch.randn(8, 1, 16, 16)
    pipe = make_augment(dataclasses.replace(make()[1], aug="fixed", augpipe="bgcfnc"), "cpu")
    same = {"p": 0.7, "aug": "fixed", "mbstd_group": batch_gpu, "pl_batch_shrink": 1 if batch_gpu == 1 else 2}
    one = after(make, phase, 8, images, pipe, **same)
    cut = after(make, phase, 8, images, pipe, batch_gpu=batch_gpu, **same)
    expected, found = (dict(getattr(state, phase.network).named_parameters()) for state in (one, cut))
    for name, parameter in expected.items():
        if parameter.grad is None:
            assert found[name].grad is None, name
            continue
        largest = float(parameter.grad.abs().max())
        assert torch.allclose(found[name].grad, parameter.grad, rtol=1e-4, atol=1e-5 * largest + 1e-9), name
    rows, found_rows = one.meter.flush(), cut.meter.flush()
    assert rows.keys() == found_rows.keys()
    for name, row in rows.items():
        assert found_rows[name]["mean"] == pytest.approx(row["mean"], rel=1e-5, abs=1e-7), name
    assert torch.allclose(one.pl_mean, cut.pl_mean, rtol=1e-5)
    assert torch.allclose(one.G.mapping.w_avg, cut.G.mapping.w_avg, rtol=1e-4, atol=1e-7)


def test_the_average_moves_by_its_decay_and_takes_buffers_as_they_are(make):
    state, config, _ = make()
    torch.nn.init.ones_(state.G.synthesis.b8.conv0.weight)
    state.G.mapping.w_avg.fill_(7)
    before = state.G_ema.synthesis.b8.conv0.weight.clone()
    state.nimg = 10_000  # in the ramp: half-life 500
    update_average(state, config)
    kept = 0.5 ** (8 / 500)
    assert torch.allclose(state.G_ema.synthesis.b8.conv0.weight, before * kept + (1 - kept), atol=1e-6)
    assert torch.equal(state.G_ema.mapping.w_avg, state.G.mapping.w_avg)


def test_the_first_step_replaces_the_start_of_the_average(make):
    state, config, batches = make()
    train_step(state, config, next(batches), unchanged)
    for average, parameter in zip(state.G_ema.parameters(), state.G.parameters(), strict=True):
        assert torch.allclose(average, parameter, atol=1e-6)


def test_style_mixing_takes_the_last_rows_from_another_latent(make):
    state, config, _ = make(style_mixing_prob=1.0, c_dim=0)
    cuts = set()
    for step in range(40):
        part = dataclasses.replace(whole(config, torch.zeros(3, 1, 16, 16), torch.zeros(3, 0)), key=(0, 0, step, 0))
        ws = draw_styles(state, config, torch.randn(3, state.G.z_dim), torch.zeros(3, 0), part, part.draws())
        first = [int((row == row[0]).all(dim=1).sum()) for row in ws]
        assert len(set(first)) == 1
        assert all(torch.equal(row[first[0]], row[-1]) for row in ws)
        cuts.add(first[0])
    assert cuts == set(range(1, state.G.num_ws))
    never = dataclasses.replace(config, style_mixing_prob=0.0)
    ws = draw_styles(state, never, torch.randn(3, state.G.z_dim), torch.zeros(3, 0), part, part.draws())
    assert bool((ws == ws[:, :1]).all())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_that_are_no_numbers_leave_no_trace_but_a_count(make, bad):
    state, config, batches = make()
    for batch in itertools.islice(batches, 4):
        train_step(state, config, batch, unchanged)
    before = copy.deepcopy(state.state_dict())
    train_step(state, config, next(batches), lambda images, p, draws: images * bad)  # step 4: Gmain, Greg, Dmain
    after = state.state_dict()
    assert state.nonfinite == 2
    for name in ("D", "G"):
        for key, tensor in after["networks"][name].items():
            assert bool(tensor.isfinite().all()), (name, key)
    assert all(torch.equal(after["networks"]["D"][key], tensor) for key, tensor in before["networks"]["D"].items())
    train_step(state, config, next(batches), unchanged)
    assert state.nonfinite == 2


def test_a_path_length_that_is_no_number_does_not_stay_in_the_mean(make, monkeypatch):
    state, config, batches = make()
    monkeypatch.setattr(step_module, "path_lengths", lambda *given: torch.full([4], math.nan, requires_grad=True))
    before = state.pl_mean.clone()
    train_step(state, config, next(batches), unchanged)
    assert state.nonfinite == 0  # the made-up lengths give no parameter a gradient
    assert torch.equal(state.pl_mean, before)
