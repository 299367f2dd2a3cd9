"""Rows about GPUs, on machines that PyTorch and the system are made to describe."""

import warnings

import pytest
import torch

from sgtool.doctor import devices, nvidia
from sgtool.doctor.nvidia import Nvidia


@pytest.fixture
def machine(monkeypatch):
    """A function that describes a machine; without arguments it has no GPU and a PyTorch for the CPU."""
    monkeypatch.delenv(devices.HIDDEN, raising=False)

    def describe(system=None, gpus=0, mps=False, cuda=None, hip=None):
        monkeypatch.setattr(nvidia, "look", lambda: system or Nvidia())
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (20_000_000_000, 24_000_000_000))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(devices, "_cannot_compute", lambda index: None)

    describe()
    return describe


def test_a_machine_without_a_gpu_is_fine(machine):
    (row,) = devices.gpus()
    assert (row.state, row.found) == ("ok", "none; everything is computed on the CPU")


def test_an_apple_gpu_is_named(machine):
    machine(mps=True)
    (row,) = devices.gpus()
    assert (row.state, row.found) == ("ok", "Apple GPU (MPS)")


def test_each_gpu_has_a_row_with_driver_and_memory(machine):
    machine(Nvidia(("Card 0", "Card 1"), "580.65.06"), gpus=2, cuda="13.0")
    first, second = devices.gpus()
    assert first.found == "Card 0, compute capability 9.0, driver 580.65.06, 20.0 of 24.0 GB free"
    assert (first.name, second.name, second.state) == ("GPU 0", "GPU 1", "ok")
    assert second.details["driver"] == "580.65.06"


def test_a_gpu_of_amd_has_no_driver_of_nvidia(machine):
    machine(gpus=1, hip="6.4")
    (row,) = devices.gpus()
    assert (row.state, row.found) == ("ok", "Card 0, 20.0 of 24.0 GB free")


def test_a_gpu_that_pytorch_cannot_compute_on_is_broken(machine, monkeypatch):
    machine(Nvidia(("Card 0",), "580.65.06"), gpus=1, cuda="12.4")
    monkeypatch.setattr(devices, "_cannot_compute", lambda index: "CUDA error: no kernel image is available")
    (row,) = devices.gpus()
    assert (row.state, row.found) == ("broken", "Card 0: CUDA error: no kernel image is available")
    assert row.remedy.endswith("run: pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130")
    assert "--device cpu" in row.remedy


def test_a_gpu_is_tried_by_adding_a_few_numbers(monkeypatch):
    real = torch.arange
    monkeypatch.setattr(torch, "arange", lambda *args, device: real(*args))
    assert devices._cannot_compute(0) is None
    monkeypatch.setattr(torch, "arange", lambda *args, device: real(*args) + 1)
    assert devices._cannot_compute(0) == "0 + 1 + 2 + 3 is 10.0 on it"

    def fails(*args, device):
        warnings.warn("this GPU is too new", stacklevel=1)
        raise RuntimeError(f"CUDA error on {device}: no kernel image.\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch, "arange", fails)
    assert devices._cannot_compute(1) == "CUDA error on cuda:1: no kernel image"


CPU_BUILD = "this PyTorch is a CPU build and cannot use the GPU; run: pip install --force-reinstall torch --index-url "


@pytest.mark.parametrize(("driver", "build"), [("580.65.06", "cu130"), ("535.104.05", "cu126"), (None, "cu130")])
def test_a_cpu_build_beside_an_nvidia_gpu_is_slow_and_names_the_build_for_the_driver(machine, driver, build):
    machine(Nvidia(("NVIDIA L4",), driver))
    (row,) = devices.gpus()
    assert row.state == "slow"
    assert row.found == f"PyTorch uses none, but there is NVIDIA L4 (driver {driver or 'unknown'})"
    assert row.remedy == f"{CPU_BUILD}https://download.pytorch.org/whl/{build}"


def test_a_driver_too_old_for_any_build_is_to_be_updated_first(machine):
    machine(Nvidia(("Tesla T4",), "470.57.02"))
    (row,) = devices.gpus()
    assert row.remedy.endswith("/cu126 (after updating the NVIDIA driver to 525 or newer)")


def test_the_drivers_library_alone_makes_the_sentence_conditional(machine):
    machine(Nvidia(library=True))
    (row,) = devices.gpus()
    assert row.state == "slow"
    assert row.remedy == f"if this machine has an NVIDIA GPU: {CPU_BUILD}https://download.pytorch.org/whl/cu130"


def test_a_driver_that_does_not_answer_is_slow(machine):
    machine(Nvidia(complaint="NVIDIA-SMI has failed"), cuda="13.0")
    (row,) = devices.gpus()
    assert (row.state, row.found) == ("slow", "PyTorch uses none; nvidia-smi: NVIDIA-SMI has failed")
    assert row.remedy.endswith("nvidia-smi")


def test_a_hidden_gpu_is_named_with_what_hides_it(machine, monkeypatch):
    machine(Nvidia(("NVIDIA L4",), "580.65.06"), cuda="13.0")
    monkeypatch.setenv(devices.HIDDEN, "")
    (row,) = devices.gpus()
    assert row.state == "slow"
    assert row.remedy == "CUDA_VISIBLE_DEVICES= hides the GPU from PyTorch; run: unset CUDA_VISIBLE_DEVICES"


def test_a_driver_older_than_pytorch_is_explained_in_pytorchs_words(machine, monkeypatch):
    machine(Nvidia(("NVIDIA L4",), "535.104.05"), cuda="13.0")

    def unavailable():
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old.", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    (row,) = devices.gpus()
    assert row.state == "slow"
    assert "PyTorch for CUDA 13.0 cannot use the GPU (CUDA initialization: The NVIDIA driver" in row.remedy
    assert row.remedy.endswith(
        "update the driver, or run: pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126"
    )
