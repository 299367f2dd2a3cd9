"""What the system says about NVIDIA GPUs, with programs and files made for the test."""

import ctypes.util

import pytest

from sgtool.doctor import nvidia
from sgtool.doctor.nvidia import Nvidia


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine without anything of NVIDIA; the folder that is its PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(nvidia, "WSL", str(tmp_path / "no-wsl"))
    monkeypatch.setattr(nvidia, "PROC", tmp_path / "proc")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    return tmp_path


def put_program(system, text):
    path = system / "bin" / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_machine_without_nvidia_has_nothing(system):
    assert nvidia.look() == Nvidia()


def test_nvidia_smi_names_gpus_and_driver(system):
    put_program(system, "echo 'NVIDIA H200, 580.65.06'; echo 'NVIDIA L4, 580.65.06'")
    assert nvidia.look() == Nvidia(("NVIDIA H200", "NVIDIA L4"), "580.65.06")


def test_nvidia_smi_is_asked_for_names_and_driver(system):
    put_program(system, 'test "$1" = --query-gpu=name,driver_version && test "$2" = --format=csv,noheader && echo "A, 1.2"')
    assert nvidia.look() == Nvidia(("A",), "1.2")


def test_a_driver_that_does_not_answer_is_a_complaint(system):
    put_program(system, "echo 'NVIDIA-SMI has failed because it could not communicate with the driver.'; exit 9")
    assert nvidia.look().complaint == "NVIDIA-SMI has failed because it could not communicate with the driver."
    put_program(system, "exit 9")
    assert nvidia.look().complaint == "nvidia-smi ends with code 9"


def test_a_program_that_cannot_be_started_is_a_complaint(system):
    put_program(system, "")
    (system / "bin" / "nvidia-smi").write_text("#!/no/such/interpreter\n")
    assert nvidia.look().complaint == "nvidia-smi: FileNotFoundError"


@pytest.mark.parametrize(
    "version",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc 12.2.0\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build  (dvs-builder)\n",
    ],
)
def test_the_kernel_drivers_files_are_read_where_there_is_no_program(system, version):
    (system / "proc/gpus/0000:01:00.0").mkdir(parents=True)
    (system / "proc/gpus/0000:01:00.0/information").write_text("Model: \t\t NVIDIA GeForce RTX 3060\nIRQ:   \t 120\n")
    (system / "proc/version").write_text(version)
    assert nvidia.look() == Nvidia(("NVIDIA GeForce RTX 3060",), "535.104.05")


def test_a_driver_folder_without_gpus_is_no_gpu(system):
    (system / "proc").mkdir()
    assert nvidia.look() == Nvidia()


def test_the_drivers_library_alone_is_noted(system, monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: "libcuda.so.1" if name == "cuda" else None)
    assert nvidia.look() == Nvidia(library=True)
