import json

import pytest
import torch

from sgtool.training.ada import Ada


def train(ada, steps, batch=8, share=0.8, first=0):
    """`steps` training steps; in step i, D says "real" to about `share` of the pictures, a little more or less each time."""
    for i in range(first, first + steps):
        positive = round(batch * share) + (i * 7 % 3) - 1
        ada.observe(torch.tensor([1.5] * positive + [-0.5] * (batch - positive)))
        ada.update(batch)


def test_p_moves_by_the_pictures_seen_over_kimg():
    ada = Ada(target=0.6, kimg=500)
    for _ in range(3):
        ada.observe(torch.full([64, 1], 3.0))
        assert not ada.update(64)
        assert (ada.p, ada.rt) == (0, None)
    ada.observe(torch.full([64, 1], 3.0))
    assert ada.update(64)
    assert ada.rt == 1
    assert ada.p == 64 * 4 / 500_000


def test_rt_is_the_mean_sign_since_the_last_update_alone():
    ada = Ada(target=0.2, p=0.5, interval=2)
    ada.observe(torch.tensor([0.1, 5.0, 7.0]))
    ada.observe(torch.tensor([-9.0]))
    ada.update(4)
    ada.observe(torch.tensor([2.0, 0.0, -1.0, 1.0]))
    ada.update(4)
    assert ada.rt == 3 / 8
    assert ada.p == pytest.approx(0.5 + 8 / 500_000, abs=1e-15)
    for _ in range(2):
        ada.observe(torch.tensor([-1.0, -1.0, -1.0, 4.0]))
        ada.update(4)
    assert ada.rt == -0.5
    assert ada.p == pytest.approx(0.5, abs=1e-15)


def test_p_stays_where_rt_is_the_target():
    ada = Ada(target=0.5, p=0.3, interval=1)
    ada.observe(torch.tensor([1.0, 1.0, 1.0, -1.0]))
    ada.update(4)
    assert (ada.rt, ada.p) == (0.5, 0.3)


def test_p_stays_between_0_and_its_limit():
    ada = Ada(target=0.6, p=0.79, p_max=0.8, interval=1, kimg=1)
    assert not ada.at_limit
    ada.observe(torch.ones(100))
    ada.update(100)
    assert ada.p == 0.8
    assert ada.at_limit
    for _ in range(10):
        ada.observe(-torch.ones(100))
        ada.update(100)
    assert ada.p == 0
    assert not ada.at_limit


def test_without_a_target_p_is_fixed_and_rt_measured():
    ada = Ada(target=None, p=0.9)
    train(ada, 8)
    assert ada.p == 0.9
    assert ada.rt is not None
    assert not ada.at_limit


def test_logits_need_no_graph_and_any_type_or_shape_is_counted():
    ada = Ada(interval=1)
    ada.observe(torch.tensor([[1.0], [-2.0]], requires_grad=True))
    ada.observe(torch.tensor([3.0, 4.0], dtype=torch.float16))
    ada.observe(torch.tensor([1, 1]))
    ada.update(6)
    assert ada.rt == 4 / 6


@pytest.mark.parametrize("stop", range(1, 9))
def test_resuming_equals_never_having_stopped(stop):
    unstopped = Ada(target=0.6, p=0.2, interval=4)  # r_t wavers about the target, so that a lost sign is seen in p
    train(unstopped, 21)
    before = Ada(target=0.6, p=0.2, interval=4)
    train(before, stop)
    state = json.loads(json.dumps(before.state_dict()))  # plain numbers
    after = Ada(target=0.6, p=0.7, interval=4)
    after.load_state_dict(state)
    train(after, 21 - stop, first=stop)
    assert after.state_dict() == unstopped.state_dict()


def test_the_signs_of_a_half_filled_interval_decide_where_p_goes():
    ada, lossy = Ada(target=0.0, p=0.5, interval=2), Ada(target=0.0, p=0.5, interval=2)
    for controller in (ada, lossy):
        controller.observe(torch.ones(8))
        controller.update(8)
    lossy.load_state_dict(ada.state_dict() | {"signs": 0.0, "count": 0})
    for controller in (ada, lossy):
        controller.observe(-torch.ones(4))
        controller.update(4)
    assert ada.p > 0.5 > lossy.p


def test_saving_does_not_disturb_the_run():
    saved, plain = Ada(p=0.2), Ada(p=0.2)
    for i in range(6):
        train(saved, 1, first=i)
        saved.state_dict()
    train(plain, 6)
    assert saved.state_dict() == plain.state_dict()


def test_steps_without_observations_are_a_mistake():
    ada = Ada(interval=1)
    with pytest.raises(ValueError, match="no logits were given"):
        ada.update(4)


@pytest.mark.parametrize("option", [{"p": 1.1}, {"p_max": -1}, {"target": 2}, {"interval": 0}, {"kimg": 0}])
def test_an_impossible_option_is_named(option):
    with pytest.raises(ValueError, match=f"Ada: {next(iter(option))} is "):
        Ada(**option)
