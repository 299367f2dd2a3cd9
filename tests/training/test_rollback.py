"""Going back: which checkpoint, what is changed, and when it is enough."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator, set_precision
from sgtool.training.rollback import (
    HEALTHY,
    MOST_ROLLBACKS,
    Rollback,
    check_patience,
    checkpoint_to_go_back_to,
    fruitless,
    half_blocks,
    remedies,
)

HALF = ("G.synthesis.b8", "G.synthesis.b16", "D.b16", "D.b8")


def numbers(*layers):
    return Rollback("numbers were no longer finite", "numbers", layers)


def chosen(*given):
    return {field: value for field, (value, why) in remedies(*given).items()}


def test_the_first_remedy_is_single_precision_for_the_block_that_is_named(config):
    back = numbers("D.b16.conv0.weight", "D.b16.conv0.bias")
    assert chosen(config, back, 0, HALF) == {"fp32_blocks": "D.b16"}
    further = dataclasses.replace(config, fp32_blocks="D.b16")
    assert chosen(further, numbers("D.b8.conv1.weight"), 0, HALF[:2] + HALF[3:]) == {"fp32_blocks": "D.b16,D.b8"}


@pytest.mark.parametrize(
    "layers",
    [
        ("D.b16.conv0.weight", "D.b4.fc.weight"),  # beyond the blocks of half precision
        ("G.synthesis.b8.conv0.weight", "D.b8.conv0.weight"),  # in both networks
        ("loss of Gmain",),
        (),
    ],
)
def test_harm_that_cannot_be_told_from_its_place_gets_single_precision_throughout(config, layers):
    assert chosen(config, numbers(*layers), 0, HALF) == {"precision": "fp32"}


def test_where_precision_is_not_to_blame_or_was_not_enough_learning_rates_are_halved(config):
    assert chosen(config, numbers("D.b16.conv0.weight"), 0) == {"glr": config.glr / 2, "dlr": config.dlr / 2}
    again = chosen(config, numbers("D.b16.conv0.weight"), 1, HALF)
    assert again == {"precision": "fp32", "glr": config.glr / 2, "dlr": config.dlr / 2}
    growing = Rollback("gradients grow", "gradients")
    assert chosen(config, growing, 0, HALF) == {"glr": config.glr / 2, "dlr": config.dlr / 2}


def test_a_collapse_slows_the_generator_and_smooths_the_discriminator(config):
    back = Rollback("all alike", "collapse")
    assert chosen(config, back, 0, HALF) == {"glr": config.glr / 2, "gamma": config.gamma * 2}
    assert chosen(dataclasses.replace(config, gamma=0.0), back, 0) == {"glr": config.glr / 2}


def test_rollbacks_count_as_fruitless_until_the_run_gets_further(config):
    config = dataclasses.replace(config, tick=1.0)
    history = [{"nimg": 10_000}, {"nimg": 12_000}, {"nimg": 11_000}]
    assert fruitless([], 5000, config) == 0
    assert fruitless(history, 13_000, config) == 3
    assert fruitless(history, 15_001, config) == 0
    assert fruitless([{"nimg": 1000}, *history], 13_000, config) == 3  # the run had made progress between 1 and 10 kimg


def test_after_five_rollbacks_without_progress_the_run_ends_in_a_sentence(tmp_path):
    check_patience(tmp_path, numbers(), MOST_ROLLBACKS - 1, 4000)
    with pytest.raises(UserError, match=r"Stopped at kimg 4: numbers .*, and 5 times going back has not helped") as caught:
        check_patience(tmp_path, numbers(), MOST_ROLLBACKS, 4000)
    assert "events.jsonl" in caught.value.message


def test_the_checkpoint_to_go_back_to(tmp_path):
    def name(back, count):
        path = checkpoint_to_go_back_to(tmp_path, back, count)
        return None if path is None else path.name

    assert name(numbers(), 0) is None
    (tmp_path / "checkpoint.pkl").touch()
    assert name(numbers(), 2) == "checkpoint.pkl"
    (tmp_path / "checkpoint-previous.pkl").touch()
    assert name(numbers(), 1) == "checkpoint.pkl"
    assert name(numbers(), 2) == "checkpoint-previous.pkl"
    collapse = Rollback("all alike", "collapse")
    assert name(collapse, 0) is None
    (tmp_path / HEALTHY).touch()
    assert name(collapse, 0) == HEALTHY


def test_blocks_that_compute_in_half_precision_are_found():
    sizes = {"c_dim": 0, "img_resolution": 16, "img_channels": 1}
    half = {"channel_base": 64, "channel_max": 8, "num_fp16_res": 2}
    G = build_generator(z_dim=8, w_dim=8, **sizes, synthesis_kwargs=half)
    state = SimpleNamespace(G=G, D=build_discriminator(**sizes, **half), device=torch.device("cpu"))
    assert half_blocks(state) == []
    set_precision(state.G, "bf16")
    set_precision(state.D, "bf16")
    assert sorted(half_blocks(state)) == sorted(HALF)
    set_precision(state.D.b16, "fp32")
    assert "D.b16" not in half_blocks(state)
