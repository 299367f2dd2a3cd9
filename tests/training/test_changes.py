"""Numbers that change in a run: noted, handed on, made again."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from sgtool.training.ada import Ada
from sgtool.training.changes import adopt, change, describe, newest_values, with_options


@pytest.fixture
def state(config):
    """What a change touches of a state: optimizers with a parameter each, the controller."""
    optimizers = [torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.5) for _ in range(2)]
    names = {"opt_G": optimizers[0], "opt_D": optimizers[1], "ada": Ada(target=config.target)}
    return SimpleNamespace(config=config, changes=[], nimg=4096, **names)


def test_a_change_is_made_and_noted(state):
    before = state.config.gamma
    note = change(state, "gamma", 3.0, "a test")
    assert state.config.gamma == 3.0
    assert note == {"nimg": 4096, "field": "gamma", "from": before, "to": 3.0, "why": "a test"}
    assert state.changes == [note]


def test_the_value_that_is_there_already_is_no_change(state):
    assert change(state, "gamma", state.config.gamma, "a test") is None
    assert state.changes == []


def test_learning_rates_reach_the_optimizers_with_the_correction_for_lazy_regularization(state):
    change(state, "glr", 0.05, "a test")
    assert state.opt_G.param_groups[0]["lr"] == pytest.approx(0.05 * 4 / 5)
    assert state.opt_D.param_groups[0]["lr"] == 0.5
    change(state, "dlr", 0.02, "a test")
    assert state.opt_D.param_groups[0]["lr"] == pytest.approx(0.02 * 16 / 17)


def test_the_target_reaches_the_controller_where_it_is_adaptive(state):
    change(state, "target", 0.25, "a test")
    assert state.ada.target == 0.25
    state.config = dataclasses.replace(state.config, aug="fixed")
    state.ada.target = None
    adopt(state, {"target": 0.3})
    assert state.ada.target is None


def test_of_several_changes_the_last_holds(state):
    for value in (1.0, 2.0, 0.5):
        change(state, "gamma", value, "a test")
    change(state, "kimg", 7, "a test")
    assert newest_values(state.changes) == {"gamma": 0.5, "kimg": 7}


def test_a_new_option_of_the_command_line_goes_before_earlier_changes_the_same_one_again_does_not(config):
    started = dataclasses.replace(config, kimg=10, snap=5)
    changes = [{"nimg": 1, "field": "kimg", "from": 10, "to": 20, "why": "control.json"}]
    fields = ("kimg", "snap")
    assert with_options(changes, started, started, fields, 8) == changes
    new = with_options(changes, started, dataclasses.replace(started, kimg=30, snap=6), fields, 8)
    assert new[0] == changes[0]
    assert new[1:] == [{"nimg": 8, "field": "kimg", "from": 20, "to": 30, "why": "an option of --resume"}]
    assert len(changes) == 1


def test_an_option_that_says_what_was_changed_to_is_no_further_change(config):
    started = dataclasses.replace(config, kimg=10)
    changes = [{"nimg": 1, "field": "kimg", "from": 10, "to": 20, "why": "control.json"}]
    assert with_options(changes, started, dataclasses.replace(started, kimg=20), ("kimg",), 8) == changes


def test_a_change_reads_as_a_line():
    note = {"nimg": 12320, "field": "gamma", "from": 0.5, "to": 1.0, "why": "control.json"}
    assert describe(note) == "gamma 0.5 -> 1 from kimg 12.32 on (control.json)"
