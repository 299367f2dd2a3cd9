"""The rule by which a rung is chosen."""

import json
import math

import pytest

from sgtool.tuning.outcome import Outcome, choose, why_lost

REALS = 0.4


def outcome(name, swd, msssim, **more):
    return Outcome(rung=name, gamma=1.0, glr=0.0025, dlr=0.0025, kimg=20, folder="runs", swd=swd, msssim=msssim, **more)


def chosen(*outcomes):
    found = choose(outcomes, REALS)
    return None if found is None else found.rung


def test_the_lowest_distance_is_chosen():
    assert chosen(outcome("a", 60, 0.4), outcome("b", 50, 0.6), outcome("c", 55, 0.4)) == "b"


def test_within_five_percent_variety_decides():
    assert chosen(outcome("a", 50, 0.6), outcome("b", 52, 0.45), outcome("c", 53, 0.41)) == "b"
    assert chosen(outcome("a", 50, 0.45), outcome("b", 52, 0.45)) == "a"


def test_more_varied_than_the_real_pictures_is_no_merit():
    assert chosen(outcome("a", 50, 0.4), outcome("b", 51, 0.2)) == "a"


@pytest.mark.parametrize(
    ("loser", "words"),
    [
        (outcome("a", 10, 0.71), "collapsed: msssim 0.71, the real pictures have 0.40"),
        (outcome("a", math.nan, math.nan), "its pictures hold numbers that are not finite"),
        (outcome("a", 10, math.nan), "its pictures hold numbers that are not finite"),
        (outcome("a", 10, 0.4, fault="went back"), "went back"),
    ],
)
def test_what_collapsed_or_is_not_finite_or_was_changed_loses_however_near_it_is(loser, words):
    assert why_lost(loser, REALS) == words
    assert chosen(loser, outcome("b", 90, 0.6)) == "b"
    assert chosen(loser) is None


def test_halfway_to_alike_has_not_collapsed():
    assert why_lost(outcome("a", 10, 0.7), REALS) is None


def test_a_loser_does_not_move_the_limit_of_ties():
    assert chosen(outcome("a", 10, 0.9), outcome("b", 50, 0.5), outcome("c", 52, 0.4)) == "c"


def test_an_outcome_is_the_same_after_json_and_the_text_is_strict():
    for one in (outcome("a", 10.5, 0.4, rt=None, fault="x"), outcome("b", math.nan, math.inf, rt=0.5)):
        text = json.dumps(one.as_dict(), allow_nan=False)
        two = Outcome.from_dict(json.loads(text))
        assert two.as_dict() == one.as_dict()
        assert math.isnan(two.swd) == math.isnan(one.swd)
