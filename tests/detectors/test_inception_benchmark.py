"""The benchmark of Inception-v3 compares two networks that compute the same."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module("inception")
    for name in set(sys.modules) - before:
        if name in ("inception", "measure") or name.split(".")[0] == "torch_fidelity":
            del sys.modules[name]


def test_both_networks_are_measured_and_agree(benchmark, tmp_path, capsys):
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity is not installed (pip install --no-deps torch-fidelity)")
    benchmark.main(["--pictures", "1", "--size", "16", "--rounds", "1", "--json", "--out", str(tmp_path)])
    (path,) = tmp_path.glob("inception-*.json")
    result = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert result["ratio"] > 0
    assert result["difference"] < 1e-4
    assert set(result["pictures_per_s"]) == {"sgtool", "torch-fidelity"}
    assert "times as fast" in capsys.readouterr().out


def test_without_torch_fidelity_it_says_what_to_install(benchmark, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps torch-fidelity"):
        benchmark.main(["--rounds", "1"])
