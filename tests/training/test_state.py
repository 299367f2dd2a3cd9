"""The state of a run: everything that a step changes comes back, bit by bit."""

import copy
import dataclasses
import itertools

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.snapshots.container import read_container
from sgtool.training.beginning import make_augment
from sgtool.training.data import Loader
from sgtool.training.state import TrainState
from sgtool.training.step import train_step

STEPS = 21


@pytest.fixture
def advance(data):
    """Function that trains a state for some steps from where it is, and notes r_t after each of them."""

    def run(state, steps, rts=None):
        config = state.config
        loader, augment = Loader(open_dataset(data), config, state.nimg, "cpu"), make_augment(config, state.device)
        try:
            for batch in itertools.islice(loader, steps):
                train_step(state, config, batch, augment)
                state.elapsed += 1.0
                if rts is not None:
                    rts.append(state.ada.rt)
                if state.step == 10:
                    state.meter.flush()
                    state.tick, state.tick_start_nimg = state.tick + 1, state.nimg
                    state.best["swd"] = {"value": 3.5, "nimg": state.nimg}
        finally:
            loader.close()
        return state

    return run


@pytest.fixture
def augmented(config):
    """The configuration with the target among what r_t does, and p high enough for every transform to occur."""
    return dataclasses.replace(config, target=0.0, p=0.6, c_dim=0)


@pytest.fixture
def undecided(augmented):
    """Function that starts a run whose D calls about half of the pictures real from the beginning."""

    def make():
        state = TrainState.fresh(augmented, "cpu")
        with torch.random.fork_rng(), torch.no_grad():
            logits = state.D(torch.rand(8, 1, 16, 16) * 2 - 1, torch.zeros(8, 0))
            state.D.b4.out.bias -= logits.median()
        return state

    return make


def inside(state):
    """Every attribute of a state and of the objects that it is made of, whether or not `state_dict` knows of it."""
    contents = {}
    for name, value in vars(state).items():
        if isinstance(value, (torch.nn.Module, torch.optim.Optimizer)):
            contents[name] = value.state_dict()
            if isinstance(value, torch.nn.Module):
                contents[f"{name}.flags"] = [[m.training for m in value.modules()], [p.requires_grad for p in value.parameters()]]
        elif name in ("ada", "meter"):
            contents[name] = dict(vars(value))
        elif name == "health":
            contents[name] = value.state_dict()  # its parameters are the networks'
        elif name not in ("config", "asked", "device", "world", "gradient_sums"):
            contents[name] = value
    return contents


@pytest.mark.parametrize("stop", [1, 3, 6, 11, 18])
def test_a_state_goes_on_as_if_it_had_never_stopped(augmented, undecided, advance, differences, tmp_path, stop):
    rts, rts_after = [], []
    whole = advance(undecided(), STEPS, rts)
    expected, expected_inside = whole.state_dict(), inside(whole)
    advance(undecided(), stop).save(tmp_path / "c.pkl", {})
    torch.manual_seed(999)
    state = TrainState.fresh(augmented, "cpu")
    state.load_state_dict(read_container(tmp_path / "c.pkl", "checkpoint")["state"])
    advance(state, STEPS - stop, rts_after)
    assert rts_after == rts[stop:]
    found = state.state_dict()
    assert differences(found, expected, ignored=["betas.0", "betas.1", "betas"]) == []
    assert differences(inside(state), expected_inside, ignored=["betas.0", "betas.1", "betas"]) == []
    for name in ("opt_G", "opt_D"):
        one, two = found["optimizers"][name]["param_groups"][0], expected["optimizers"][name]["param_groups"][0]
        assert tuple(one["betas"]) == tuple(two["betas"])


def test_a_state_in_half_precision_goes_on_exactly_too(config, advance, differences, tmp_path):
    config = dataclasses.replace(config, precision="bf16", c_dim=0)
    expected = advance(TrainState.fresh(config, "cpu"), 9).state_dict()
    full = advance(TrainState.fresh(dataclasses.replace(config, precision="fp32"), "cpu"), 9).state_dict()
    assert differences(full["networks"], expected["networks"])
    advance(TrainState.fresh(config, "cpu"), 5).save(tmp_path / "c.pkl", {})
    state = TrainState.fresh(config, "cpu")
    state.load_state_dict(read_container(tmp_path / "c.pkl", "checkpoint")["state"])
    assert differences(advance(state, 4).state_dict(), expected, ignored=["betas.0", "betas.1", "betas"]) == []


def order(tensor):
    """Strides along the axes that have any length."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def test_weights_gradients_and_what_adam_keeps_lie_in_the_same_order(config, advance, tmp_path):
    """Adam walks through memory. A checkpoint may hold them in another order: it is taken over."""
    state = advance(TrainState.fresh(config, "cpu"), 2)
    weight = state.D.b16.conv0.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for optimizer in (state.opt_G, state.opt_D):
        for parameter, kept in optimizer.state.items():
            assert order(kept["exp_avg"]) == order(kept["exp_avg_sq"]) == order(parameter)
            assert parameter.grad is None or order(parameter.grad) == order(parameter)
    state.save(tmp_path / "c.pkl", {})
    contents = read_container(tmp_path / "c.pkl", "checkpoint")["state"]
    for optimizer in contents["optimizers"].values():
        for kept in optimizer["state"].values():
            kept["exp_avg"] = kept["exp_avg"].contiguous()
    again = TrainState.fresh(config, "cpu")
    again.load_state_dict(contents)
    kept, expected = again.opt_D.state[again.D.b16.conv0.weight]["exp_avg"], state.opt_D.state[weight]["exp_avg"]
    assert kept.stride() == weight.stride()
    assert torch.equal(kept, expected)


def test_the_comparison_rests_on_signs_near_the_target(undecided, advance):
    state, rts = undecided(), []
    for _ in range(5):
        rts.append(advance(state, 4).ada.rt)
    assert min(rts) < 0 < max(rts)
    assert len(set(rts)) > 2


def test_every_attribute_comes_back_from_a_file(augmented, undecided, advance, differences, tmp_path):
    """Half-filled sums of ADA and of the statistics too: at step 19 neither is at a boundary."""
    state = advance(undecided(), 19)
    state.nonfinite, state.attempt = 3, 1
    state.rollbacks.append({"nimg": 8, "to": 4, "reason": "test"})
    state.changes.append({"nimg": 5, "field": "snap", "from": 1, "to": 2, "why": "test"})
    state.save(tmp_path / "c.pkl", {})
    again = TrainState.fresh(dataclasses.replace(augmented, seed=77), "cpu")
    fresh = copy.deepcopy(inside(again))
    again.load_state_dict(read_container(tmp_path / "c.pkl", "checkpoint")["state"])
    found, expected = inside(again), inside(state)
    assert differences(found, expected) == []
    assert expected["ada"]["_signs"] != 0
    assert 0 < expected["ada"]["_steps"] < augmented.ada_interval
    assert expected["meter"]["_sums"]
    changed = {name.split(".")[0] for name in differences(fresh, expected)}
    constant = {name for name in expected if name.endswith(".flags")}
    assert changed == expected.keys() - constant


def test_a_step_draws_nothing_from_the_generators_of_the_process(config, advance, differences):
    """So that a checkpoint needs none of their states, whatever else draws from them."""
    torch.manual_seed(4)
    expected = torch.randn(5)
    one, two = TrainState.fresh(config, "cpu"), TrainState.fresh(config, "cpu")
    torch.manual_seed(4)
    advance(one, 5)
    assert torch.equal(torch.randn(5), expected)
    assert differences(advance(two, 5).state_dict(), one.state_dict()) == []


def test_after_going_back_other_numbers_are_drawn(config, advance, differences):
    one, two = TrainState.fresh(config, "cpu"), TrainState.fresh(config, "cpu")
    two.attempt = 1
    assert "networks.G.mapping.fc0.weight" in differences(advance(one, 1).state_dict(), advance(two, 1).state_dict())


def test_changes_of_the_configuration_come_back_with_the_state(config, tmp_path):
    note = {"nimg": 80, "field": "glr", "from": config.glr, "to": 0.001, "why": "test"}
    state = TrainState.fresh(config, "cpu", changes=[note])
    assert (state.config.glr, state.asked.glr) == (0.001, config.glr)
    assert state.opt_G.param_groups[0]["lr"] == pytest.approx(0.0008)
    state.save(tmp_path / "c.pkl", {})
    contents = read_container(tmp_path / "c.pkl", "checkpoint")
    assert contents["config"] == config.as_dict()
    assert contents["state"]["changes"] == [note]


def test_the_seed_alone_decides_the_start(config, differences):
    one, two = TrainState.fresh(config, "cpu"), TrainState.fresh(config, "cpu")
    assert differences(one.state_dict(), two.state_dict()) == []
    other = TrainState.fresh(dataclasses.replace(config, seed=1), "cpu")
    assert differences(one.state_dict(), other.state_dict()) != []


def test_optimizers_are_those_of_lazy_regularization(config):
    state = TrainState.fresh(dataclasses.replace(config, glr=0.002, dlr=0.001, freezed=2), "cpu")
    G, D = state.opt_G.param_groups[0], state.opt_D.param_groups[0]
    assert (G["lr"], G["betas"], G["eps"]) == (pytest.approx(0.0016), (0.0, pytest.approx(0.99**0.8)), 1e-8)
    assert (D["lr"], D["betas"]) == (pytest.approx(0.001 * 16 / 17), (0.0, pytest.approx(0.99 ** (16 / 17))))
    assert len(G["params"]) == len(list(state.G.parameters()))
    assert len(D["params"]) == len(list(state.D.parameters())) - 4
    assert not any(parameter.requires_grad for parameter in state.G_ema.parameters())
    assert (state.G.training, state.D.training, state.G_ema.training) == (True, True, False)
