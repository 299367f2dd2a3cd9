"""Broken files at random: none is opened that should not be, and nothing breaks but the file."""

import json
import random
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import fuzz  # noqa: E402
import mutations  # noqa: E402
import originals  # noqa: E402

INPUTS = 2000
HONEST = {"seconds": 0.01, "peak": 1 << 20}
FINE = {
    "outcome": "refused",
    "message": "m.pkl is damaged.",
    "path": "m.pkl",
    "events": [],
    "made": [],
    "seconds": 0.1,
    "peak": 0,
}


@pytest.mark.slow
def test_thousands_of_broken_files_break_nothing(tmp_path):
    options = [
        "--inputs",
        str(INPUTS),
        "--seed",
        "2024",
        "--small",
        "--found",
        str(tmp_path),
        "--json",
        str(tmp_path / "out.json"),
    ]
    result = fuzz.main(options)
    assert result["findings"] == []
    assert sum(result["outcomes"].values()) == INPUTS
    assert result["outcomes"].keys() == {"opened", "refused"}
    assert result["originals"].keys() == originals.all_files(small=True).keys()
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == result


@pytest.mark.parametrize("name", originals.all_files(small=True))
def test_an_original_is_honest_and_its_pieces_are_the_whole(tmp_path, name):
    file = originals.all_files(small=True)[name]
    (tmp_path / "model").write_bytes(file.data)
    assert fuzz.audit.load(tmp_path / "model").G_ema.img_resolution == 8
    assert b"".join(mutations.split(file.data)) == file.data


def test_an_input_is_known_by_its_seed_and_number():
    files = originals.all_files(small=True)
    first = [fuzz.changed(files, 1, i) for i in range(50)]
    assert first == [fuzz.changed(files, 1, i) for i in range(50)]
    assert first != [fuzz.changed(files, 2, i) for i in range(50)]
    assert sum(data != files[name].data for name, data in first) > 40


@pytest.mark.parametrize("kind", ["pickle", "zip", "safetensors"])
def test_changes_are_many_and_few_are_large(kind):
    files = [file for file in originals.all_files(small=True).values() if file.kind == kind]
    others = [file.data for file in files]
    made = [mutations.mutate(kind, files[0].data, random.Random(i), others) for i in range(300)]
    assert len(set(made)) > 200
    assert sorted(map(len, made))[280] < 3 * len(files[0].data)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, []),
        ({"outcome": "opened", "message": ""}, []),
        ({"outcome": "error", "message": "KeyError: 'x'\n  File ..."}, ["KeyError: 'x'"]),
        ({"events": ["exec (<code>,)"]}, ["event exec (<code>,)"]),
        ({"made": ["it-ran"]}, ["file made: it-ran"]),
        ({"seconds": 11.0}, ["11.0 seconds"]),
        ({"peak": 90 << 20}, ["90 MB of memory, an honest file takes 1"]),
        ({"message": "m.pkl has \x1b[2J."}, ["message: the character '\\x1b'"]),
    ],
)
def test_what_may_not_happen_is_a_finding(record, words):
    assert fuzz.findings(FINE | record, HONEST) == words


CRASHING = """
import json, os, signal, sys
first, count = (int(sys.argv[sys.argv.index(option) + 1]) for option in ("--first", "--inputs"))
print(json.dumps({"honest": {}}), flush=True)
for i in range(first, first + count):
    print(json.dumps({"begins": i}), flush=True)
    if i == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    fine = {"number": i, "of": "a", "outcome": "opened", "message": "", "seconds": 0, "peak": 0, "findings": []}
    print(json.dumps(fine), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to die of")
def test_a_process_that_dies_is_a_finding_and_the_rest_goes_on(tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text(CRASHING, encoding="utf-8")
    monkeypatch.setattr(fuzz, "__file__", str(tmp_path / "crashing.py"))
    result = fuzz.main(["--inputs", "5", "--small", "--found", str(tmp_path / "found")])
    assert result["outcomes"] == {"opened": 4, "crash": 1}
    (found,) = result["findings"]
    assert found["number"] == 2
    assert found["findings"] == ["the process ended with code -9"]
    assert (tmp_path / "found" / "0-2.bin").read_bytes() == fuzz.changed(originals.all_files(small=True), 0, 2)[1]


def test_a_process_that_does_not_begin_ends_the_run(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no torch')", encoding="utf-8")
    monkeypatch.setattr(fuzz, "__file__", str(tmp_path / "broken.py"))
    with pytest.raises(SystemExit, match="no torch"):
        fuzz.main(["--inputs", "5", "--small"])
