"""Parameter types: what they read, and what they say about what they cannot read."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgtool.errors import UserError
from sgtool.options import CLASSES, RESOLUTION, SEEDS, boolean_option, network_option, numbers_text, offline_option, torch_device

seeds = st.integers(0, 2**32 - 1)


def read(text, kind=SEEDS):
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("85", [85]),
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("7,0-3", [7, 0, 1, 2, 3]),
        ("5-5", [5]),
        (" 1 , 3-4 ", [1, 3, 4]),
        ("1,1", [1, 1]),
        ("007", [7]),
        ("4294967295", [2**32 - 1]),
    ],
)
def test_seeds_are_numbers_and_ranges_in_order(text, numbers):
    assert read(text) == numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is not a list of seed numbers. Write them like 0-3,7."),
        ("a", "'a' is not a list of seed numbers"),
        ("1,,2", "'1,,2' is not a list of seed numbers"),
        ("1-", "not a list"),
        ("-1", "not a list"),
        ("1-2-3", "not a list"),
        ("1.5", "not a list"),
        ("٣", "not a list"),
        ("9" * 5000, "not a list"),
        ("7-3", "the range 7-3 runs backwards. Write 3-7."),
        ("4294967296", "seed 4294967296 is too large"),
        ("0-4294967295", "more than a million"),
    ],
)
def test_what_are_no_seeds_is_told(text, words):
    with pytest.raises(click.BadParameter) as caught:
        read(text)
    assert words in caught.value.message
    assert len(caught.value.message) < 200


@given(st.lists(seeds, min_size=1, max_size=30))
def test_any_list_of_seeds_survives_being_written(numbers):
    assert read(numbers_text(numbers)) == numbers


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 50)), min_size=1, max_size=8))
def test_runs_of_seeds_survive_being_written(ranges):
    numbers = [number for first, length in ranges for number in range(first, first + length + 1)]
    assert read(numbers_text(numbers)) == numbers
    assert read(",".join(f"{first}-{first + length}" for first, length in ranges)) == numbers


@given(st.text(max_size=12))
def test_any_text_is_seeds_or_a_bad_parameter(text):
    try:
        numbers = read(text)
    except click.BadParameter:
        return
    assert all(0 <= number < 2**32 for number in numbers)
    assert read(numbers_text(numbers)) == numbers


def test_numbers_are_written_short():
    assert numbers_text([0, 1, 2, 3, 7]) == "0-3,7"
    assert numbers_text([7, 3, 2, 5, 6]) == "7,3,2,5-6"
    assert numbers_text([]) == ""


def test_lists_pass_through_unchanged():
    assert read([3, 1]) == [3, 1]


def test_classes_speak_of_classes():
    assert read("0-9", CLASSES) == list(range(10))
    with pytest.raises(click.BadParameter, match="not a list of class numbers"):
        read("dog", CLASSES)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256", (256, 256)), ("512x384", (512, 384)), ("512X384", (512, 384)), (" 5 × 6 ", (5, 6)), ((3, 4), (3, 4))],
)
def test_resolution_is_width_by_height(text, size):
    assert read(text, RESOLUTION) == size


@pytest.mark.parametrize("text", ["", "x", "256x", "0", "5x0", "16385", "-5", "1x2x3", "9" * 5000, "256px"])
def test_what_is_no_resolution_is_told(text):
    with pytest.raises(click.BadParameter, match="is not a size|out of range"):
        read(text, RESOLUTION)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [([], False), (["--mirror"], True), (["--mirror=1"], True), (["--mirror", "false"], False), (["--mirror=0"], False)],
)
def test_boolean_options_are_flags_and_take_values(arguments, value):
    @click.command()
    @boolean_option("--mirror")
    def command(mirror):
        return mirror

    assert command(arguments, standalone_mode=False) is value


@pytest.mark.parametrize(("arguments", "values"), [([], ("a", False)), (["--offline"], ("a", True))])
def test_a_model_may_be_asked_for_offline(arguments, values):
    @click.command()
    @network_option
    @offline_option
    def command(network, offline):
        return network, offline

    assert command(["--network", "a", *arguments], standalone_mode=False) == values


def test_device_cpu_and_auto_are_always_there():
    assert torch_device("cpu").type == "cpu"
    assert torch_device("auto").type in ("cpu", "cuda", "mps")


def test_a_missing_device_is_told(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert torch_device("auto").type == "cpu"
    for name in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"--device {name}: this PyTorch finds no such device"):
            torch_device(name)
