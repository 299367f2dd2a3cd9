"""Results as a table, as lines of JSON that programs read, and as a sheet of pairs."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sgtool.errors import UserError
from sgtool.measuring import results
from sgtool.measuring.compute import Measured, compute
from sgtool.measuring.pictures import Made, Stored
from sgtool.measuring.protocols import parse
from sgtool.measuring.results import Result


def result(values, repeats=(), intervals=None, seconds=71.4):
    name = next(iter(values))
    return Result(parse("fid5k_full"), Measured(values, intervals or {}, {}), [{name: v} for v in repeats], seconds, {"seed": 0})


def test_the_table_has_a_line_for_each_number():
    lines = results.table(
        [
            result({"fid5k_full": 12.3456789}),
            result({"kid": 0.001}, intervals={"kid": (0.0005, 0.0015)}),
            result({"is": 2.0}, [1.9, 2.1]),
        ]
    )
    assert lines == [
        "fid5k_full  12.3457",
        "kid           0.001  95 %: 0.0005 to 0.0015",
        "is                2  +- 0.14 over 2 repeats",
    ]


def test_a_line_begins_with_nvidias_fields_and_knows_no_nan():
    values = json.loads(results.line(result({"fid5k_full": float("nan")}), "model.pkl"))
    assert list(values)[:7] == [
        "results", "metric", "total_time", "total_time_str", "num_gpus", "snapshot_pkl", "timestamp",
    ]  # fmt: skip
    assert values["results"] == {"fid5k_full": None}
    assert (values["metric"], values["total_time_str"], values["snapshot_pkl"]) == ("fid5k_full", "1m 11s", "model.pkl")
    assert values["protocol"] == {"name": "fid5k_full", "metric": "fid", "settings": {}, "seed": 0}


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0s"), (59, "59s"), (3600, "1h 00s"), (3725, "1h 2m 05s")])
def test_durations_in_words(seconds, words):
    assert json.loads(results.line(result({"a": 1.0}, seconds=seconds)))["total_time_str"] == words


def test_lines_are_added_and_a_broken_last_line_is_ended(tmp_path):
    path = tmp_path / "metric-x.jsonl"
    path.write_text('{"a": 1}\n{"a":')
    results.append(path, '{"a": 2}')
    results.append(path, '{"a": 3}')
    assert path.read_text().splitlines() == ['{"a": 1}', '{"a":', '{"a": 2}', '{"a": 3}']
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder could not be written: .*another --outdir"):
        results.append(tmp_path / "folder", "x")


def test_the_sheet_has_the_nearest_pairs_in_order(model, dataset, tmp_path, stub):
    made, real = Made(model), Stored(dataset)
    protocol = parse("memorization30")
    random = np.random.RandomState(0)
    rows = random.randn(12, 4).astype(np.float32), random.randn(30, 4).astype(np.float32)
    found = compute(protocol, *rows, seed=0, held_out=None).memorization
    path = results.write_pairs(tmp_path / "m.png", protocol, found, made, real, {"network": "x"})
    with Image.open(path) as sheet:
        recipe = json.loads(sheet.info["sgtool"])
        pixels = np.asarray(sheet.convert("RGB"))
    order = np.argsort(found.distances)[:10]
    assert recipe["generated"] == order.tolist()
    assert recipe["real"] == found.indices[order].tolist()
    side = 96
    width, height = 2 * side + 2, 10 * (side + 2) - 2
    cells = pixels[-height:, -width:]
    for row, number in enumerate(order):
        top = row * (side + 2)
        left, right = made.batch([number])[0], real.batch([found.indices[number]])[0]
        np.testing.assert_array_equal(cells[top : top + side : 6, :side:6], left.transpose(1, 2, 0))
        np.testing.assert_array_equal(cells[top : top + side : 6, side + 2 :: 6], right.transpose(1, 2, 0))
    (tmp_path / "other.png").write_bytes(b"mine")
    with pytest.raises(UserError, match="not replaced"):
        results.write_pairs(tmp_path / "other.png", protocol, found, made, real, {})


def test_processes_that_write_at_once_lose_no_line(tmp_path):
    path = tmp_path / "metric-x.jsonl"
    lines = [json.dumps({"a": i, "b": "x" * 5000}) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:  # the lock is of an open file, so threads compete as processes do
        list(pool.map(lambda line: results.append(path, line), lines))
    assert sorted(path.read_text().splitlines()) == sorted(lines)


def test_a_line_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "metric-x.jsonl"
    results.append(path, '{"a": 1}')

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(results.os, "fsync", full)
    with pytest.raises(UserError, match="could not be written: No space left on device"):
        results.append(path, '{"a": 2}')
    assert path.read_text() == '{"a": 1}\n'
