"""Findings as text and JSON, and what follows from them."""

import json

import pytest

from sgtool import __version__
from sgtool.doctor.rows import Row, as_json, exit_code, guarded, line, verdict

FINE = Row("Python", "3.11", details={"nan": float("nan"), "list": [1, float("inf")], "text": "a", "exact": 1 / 3})
ROWS = [
    Row("dlib", "not installed", "missing", "run: pip install dlib-bin"),
    FINE,
    Row("GPU", "not used", "slow", "run: unset X"),
    Row("bias_act", "error 1", "broken", "run: export Y=off"),
]


def test_problems_are_listed_with_the_worst_first():
    assert verdict(ROWS) == [
        "broken: bias_act: run: export Y=off",
        "slow: GPU: run: unset X",
        "missing: dlib: run: pip install dlib-bin",
    ]
    assert verdict([FINE]) == ["Everything is in order."]


def test_only_what_is_broken_makes_the_exit_code_one():
    assert [exit_code(ROWS), exit_code(ROWS[:3]), exit_code([])] == [1, 0, 0]


def test_a_line_has_state_name_and_finding_in_columns():
    assert line(FINE) == "ok       Python                       3.11"
    assert line(ROWS[0]) == "missing  dlib                         not installed"


def test_json_is_valid_and_its_numbers_are_finite():
    def refuse(constant):
        raise AssertionError(constant)

    report = json.loads(as_json(ROWS), parse_constant=refuse)
    assert (report["sgtool"], report["ok"]) == (__version__, False)
    assert report["rows"][1]["details"] == {"nan": None, "list": [1, None], "text": "a", "exact": 0.3333}
    assert report["rows"][1]["remedy"] is None
    assert report["problems"] == ["bias_act: run: export Y=off", "GPU: run: unset X", "dlib: run: pip install dlib-bin"]


@pytest.mark.parametrize(("state", "remedy"), [("ok", "run: x"), ("slow", None), ("bad", "run: x")])
def test_a_row_that_makes_no_sense_is_refused(state, remedy):
    with pytest.raises(ValueError, match="state|remedy"):
        Row("GPU", "", state, remedy)


def test_an_error_becomes_a_broken_row_with_its_text():
    def fails():
        raise KeyError("first line.\nsecond line")

    (row,) = guarded("GPU", "try again", fails)
    assert (row.name, row.state) == ("GPU", "broken")
    assert row.found.startswith("KeyError: ")
    assert "first line" in row.found
    assert row.remedy == f"try again ({row.found})"
    assert guarded("GPU", "", lambda: FINE) == guarded("GPU", "", lambda: (FINE,)) == [FINE]


def test_an_error_without_words_has_a_finding_too():
    def fails():
        raise RuntimeError

    assert guarded("GPU", "try again", fails)[0].found == "RuntimeError: no message"
