import math

import pytest

from sgtool.latents.projection.schedule import learning_rate, noise_scale, rampdown_step
from sgtool.latents.projection.settings import Settings


def test_the_learning_rate_rises_holds_and_falls_as_published():
    settings = Settings()
    assert learning_rate(0, settings) == 0
    assert learning_rate(10, settings) == pytest.approx(0.02)
    assert learning_rate(25, settings) == pytest.approx(0.05)
    for step in (50, 300, 750):
        assert learning_rate(step, settings) == pytest.approx(0.1)
    assert learning_rate(875, settings) == pytest.approx(0.05)
    for step in (751, 800, 900, 999):
        closed = 0.1 * math.sin(math.pi / 2 * (1 - step / 1000) / 0.25) ** 2
        assert learning_rate(step, settings) == pytest.approx(closed)


def test_the_noise_falls_as_a_parabola_to_zero_at_three_quarters():
    settings = Settings()
    for step in (0, 1, 375, 749):
        assert noise_scale(step, settings) == pytest.approx(0.05 * (1 - step / 750) ** 2)
    assert noise_scale(375, settings) == pytest.approx(0.0125)
    assert [noise_scale(step, settings) for step in (750, 900, 999)] == [0, 0, 0]


def test_the_shape_of_the_schedule_does_not_depend_on_the_number_of_steps():
    short, long = Settings(num_steps=100), Settings(num_steps=1000)
    for step in range(100):
        assert learning_rate(step, short) == pytest.approx(learning_rate(10 * step, long))
        assert noise_scale(step, short) == pytest.approx(noise_scale(10 * step, long))


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({}, 750),
        ({"num_steps": 10}, 8),
        ({"num_steps": 1}, 1),
        ({"noise_ramp_length": 0.9}, 900),
        ({"noise_ramp_length": 2.0}, 1000),
    ],
)
def test_the_last_part_is_free_of_noise_and_begins_where_the_rate_is_whole(changed, first):
    settings = Settings(**changed)
    assert rampdown_step(settings) == first
    assert all(noise_scale(step, settings) == 0 for step in range(first, settings.num_steps))


def test_ramps_of_no_length_are_steps():
    settings = Settings(num_steps=4, lr_rampup_length=0.0, lr_rampdown_length=0.0, noise_ramp_length=0.0)
    assert [learning_rate(step, settings) for step in range(4)] == [0.1] * 4
    assert [noise_scale(step, settings) for step in range(4)] == [0] * 4


@pytest.mark.parametrize(
    "wrong",
    [{"space": "z"}, {"num_steps": 0}, {"w_avg_samples": 0}, {"initial_learning_rate": -0.1}, {"patience": -1},
     {"regularize_noise_weight": float("nan")}, {"tuning_learning_rate": float("inf")}],
)  # fmt: skip
def test_a_number_with_which_nothing_can_be_computed_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Settings(**wrong)
