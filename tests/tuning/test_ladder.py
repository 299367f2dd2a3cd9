"""Which settings are tried, in which order, under which names."""

import pytest

from sgtool.tuning.ladder import Rung, default_kimg, gammas_around, number, rungs


def test_without_rates_there_is_a_rung_for_each_gamma_in_the_order_given():
    found = rungs([0.5, 0.1, 2.0])
    assert [rung.name for rung in found] == ["gamma0.5", "gamma0.1", "gamma2"]
    assert found[1].options == {"gamma": 0.1}


def test_with_rates_each_gamma_is_tried_with_each_and_d_learns_as_fast_unless_told():
    names = [rung.name for rung in rungs([0.5, 2.0], [0.001, 0.0025])]
    assert names == [f"gamma{g}-glr{r}-dlr{r}" for g in ("0.5", "2") for r in ("0.001", "0.0025")]
    assert rungs([1.0], [0.001], 0.003)[0].options == {"gamma": 1.0, "glr": 0.001, "dlr": 0.003}


def test_a_setting_that_is_named_twice_is_tried_once():
    assert rungs([1.0, 0.5, 1.0]) == [Rung(1.0), Rung(0.5)]


def test_three_gammas_lie_a_factor_of_four_apart():
    assert gammas_around(1.0) == [0.25, 1.0, 4.0]
    assert gammas_around(0.0002 * 32 * 32 / 32) == [0.0016, 0.0064, 0.0256]


def test_numbers_that_differ_are_written_differently():
    assert [number(x) for x in (2.0, 0.0016, 1e-5, 0.12345678)] == ["2", "0.0016", "1e-05", "0.12345678"]
    assert Rung(0.12345678).name != Rung(0.12345679).name


@pytest.mark.parametrize(("preset", "kimg"), [("auto", 250), ("cifar", 1000), ("tiny", 20)])
def test_a_rung_is_a_hundredth_of_the_presets_training_but_no_less_than_20_kimg(preset, kimg):
    assert default_kimg(preset) == kimg
