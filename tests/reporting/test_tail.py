"""Growing files are read line by line, once, and nothing but files of the folder is read."""

import json
import os

import pytest

from sgtool.reporting import tail
from sgtool.reporting.tail import Tail, inside, number, parsed, read_json


def test_each_line_is_read_once_and_half_a_line_waits_for_its_end(tmp_path):
    path = tmp_path / "a.jsonl"
    reader = Tail(tmp_path, "a.jsonl")
    assert reader.read() == ([], False)
    path.write_text("one\ntwo\nthr")
    assert reader.read() == (["one", "two"], True)
    assert reader.read() == ([], False)
    with open(path, "a") as file:
        file.write("ee\nfour\r\n")
    assert reader.read() == (["three", "four"], False)


def test_a_file_written_anew_or_gone_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("one\ntwo\n")
    reader = Tail(tmp_path, "a.jsonl")
    reader.read()
    (tmp_path / "b").write_text("one\nlonger than before\n")
    os.replace(tmp_path / "b", path)
    assert reader.read() == (["one", "longer than before"], True)
    path.write_text("x\n")
    assert reader.read() == (["x"], True)
    path.unlink()
    assert reader.read() == ([], True)
    assert reader.read() == ([], False)


def test_of_a_huge_file_the_end_is_read_and_the_rest_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "MOST_BYTES", 100)
    (tmp_path / "log.txt").write_text("".join(f"line {i:04d}\n" for i in range(100)))
    reader = Tail(tmp_path, "log.txt")
    lines, _ = reader.read()
    assert lines[-1] == "line 0099"
    assert lines[0] == "line 0091"
    assert reader.skipped == 900


def test_a_line_that_never_ends_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "LONGEST_LINE", 50)
    (tmp_path / "log.txt").write_text("a" * 60 + "\nshort\n" + "b" * 60)
    reader = Tail(tmp_path, "log.txt")
    assert reader.read() == (["short"], True)
    assert reader.skipped == 60
    with open(tmp_path / "log.txt", "a") as file:
        file.write("\nnext\n")
    assert reader.read()[0][-1] == "next"


def test_links_out_of_the_folder_pipes_and_folders_are_not_read(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret").write_text("Warning: secret\n")
    (run / "real.txt").write_text("Warning: ours\n")
    (run / "out").symlink_to(tmp_path / "secret")
    (run / "in").symlink_to(run / "real.txt")
    (run / "circle").symlink_to(run / "circle")
    (run / "folder").mkdir()
    os.mkfifo(run / "pipe")
    assert [inside(run, name) for name in ("out", "circle", "folder", "pipe", "absent", "a\0b")] == [None] * 6
    assert inside(run, "in") == run / "in"
    assert Tail(run, "pipe").read() == ([], False)


@pytest.mark.parametrize("line", ["", "{", "[1]", "3", "null", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\ufffd"])
def test_what_is_no_object_is_none(line):
    assert parsed(line) is None


def test_numbers_are_finite_floats_or_nan():
    assert number(3) == 3.0
    wrong = [None, "3", True, [], {}, float("inf"), float("nan"), 10**400, 1e305]
    assert [number(value) != number(value) for value in wrong] == [True] * len(wrong)


def test_a_small_json_file_is_a_dict_and_anything_else_is_empty(tmp_path):
    (tmp_path / "a").write_text(json.dumps({"x": 1}))
    (tmp_path / "b").write_text("[1, 2")
    (tmp_path / "c").write_text(json.dumps({"x": "y" * 100}))
    assert read_json(tmp_path, "a") == {"x": 1}
    assert [read_json(tmp_path, name, most=50) for name in ("b", "c", "d")] == [{}, {}, {}]
