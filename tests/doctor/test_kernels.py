"""Rows about the CUDA kernels in every state, on machines without a GPU."""

import pytest
import torch

from sgtool.doctor import kernels, trials
from sgtool.ops import cuda, nvrtc
from sgtool.ops.kernels import variants

CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    """Make PyTorch believe in a GPU on which the kernels can run; a function to change that."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.version, "cuda", "13.0")

    def describe(reason=None, capability=(8, 9), hip=None, number=1):
        monkeypatch.setattr(cuda, "unavailable", lambda index=None: reason)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index=None: capability)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.version, "hip", hip)

    describe()
    return describe


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_a_gpu_kernels_are_not_missed(no_gpu):
    assert kernels.can_run().state == "ok"
    assert kernels.compare() == []


def test_kernels_that_run_are_in_use(gpu):
    assert (kernels.can_run().state, kernels.can_run().found) == ("ok", "in use")
    gpu(number=2)
    assert kernels.can_run().found == "in use on every GPU"


def test_kernels_that_cannot_run_are_slow_and_the_reason_is_given(gpu):
    reason = 'sgtool\'s CUDA kernels need more packages: x; run: pip install "sgtool[cu13]"'
    gpu(reason)
    row = kernels.can_run()
    assert (row.state, row.found, row.remedy) == ("slow", "plain PyTorch takes their place on GPU 0", reason)
    assert kernels.compare() == []


def test_kernels_that_are_switched_off_are_slow(gpu):
    gpu("The environment variable SGTOOL_KERNELS=off switches sgtool's CUDA kernels off.")
    row = kernels.can_run()
    assert row.state == "slow"
    assert row.remedy.endswith("Run: unset SGTOOL_KERNELS")


@pytest.mark.parametrize("machine", [{"capability": (7, 0)}, {"hip": "6.4"}])
def test_a_gpu_that_kernels_are_not_for_is_fine(gpu, machine):
    gpu("They are not for this GPU.", **machine)
    row = kernels.can_run()
    assert (row.state, row.found) == ("ok", "plain PyTorch takes their place: They are not for this GPU.")


def test_the_common_kernels_are_ones_that_exist():
    names = [(source, kernel) for source, of_source in kernels.common_kernels().items() for kernel in of_source]
    assert len(names) == len(set(names)) == 8
    assert set(names) <= set(variants())


def test_nvrtc_compiles_the_common_kernels_here(no_gpu):
    row = kernels.compiler()
    assert row.state == "ok"
    assert "compiles 8 kernels for sm_90 in " in row.found
    assert 0 < row.details["seconds"] < 60


def test_nvrtc_compiles_for_the_gpu_that_is_there(gpu, monkeypatch):
    archs = []
    monkeypatch.setattr(nvrtc, "compile_cubin", lambda source, names, arch: archs.append(arch))
    assert kernels.compiler().state == "ok"
    assert set(archs) == {"sm_89"}


def test_a_missing_nvrtc_matters_with_a_gpu_only(gpu, monkeypatch):
    monkeypatch.setattr(nvrtc, "missing", lambda: "NVRTC, the compiler library, was not found")
    row = kernels.compiler()
    assert (row.state, row.found) == ("slow", "NVRTC, the compiler library, was not found")
    assert row.remedy.endswith('run: pip install "sgtool[cu13]"')
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (kernels.compiler().state, kernels.compiler().remedy) == ("ok", None)


def test_an_nvrtc_older_than_the_gpu_is_slow(gpu):
    gpu(capability=(99, 0))
    row = kernels.compiler()
    assert row.state == "slow"
    assert "older than this GPU" in row.remedy


def test_kernels_that_do_not_compile_are_broken_where_they_are_in_use(gpu, monkeypatch):
    def refuse(source, names, arch):
        raise RuntimeError("NVRTC could not compile x for sm_89: error: expected ;\nline two")

    monkeypatch.setattr(nvrtc, "compile_cubin", refuse)
    row = kernels.compiler()
    assert row.state == "broken"
    assert row.found.endswith("NVRTC could not compile x for sm_89: error: expected ;")
    assert "export SGTOOL_KERNELS=off" in row.remedy
    gpu("The environment variable SGTOOL_KERNELS=off switches them off.")
    assert kernels.compiler().state == "missing"


def test_a_full_gpu_is_not_tried(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100_000_000, 8_000_000_000))
    (row,) = kernels.compare()
    assert (row.state, row.found) == ("missing", "0.1 GB of GPU memory are free")
    assert "nvidia-smi" in row.remedy


@pytest.mark.parametrize(("free", "pictures"), [(1_000_000_000, 4), (140_000_000_000, 32)])
def test_the_pictures_fit_into_half_of_the_free_memory(gpu, monkeypatch, free, pictures):
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    monkeypatch.setattr(kernels, "trial_rows", lambda *args, impl: asked.append((*args, impl)) or [])
    assert kernels.compare() == []
    assert asked == [(torch.device("cuda", 0), pictures, 64, 256, "cuda")]


def test_every_trial_has_a_row_for_each_type():
    rows = kernels.trial_rows(CPU, 2, 8, 16, impl="auto")
    assert [row.name for row in rows][:3] == ["bias_act float32", "bias_act float16", "bias_act backward float32"]
    assert len(rows) == 8
    for row in rows:
        assert row.state in ("ok", "slow"), row.remedy
        assert 0 < row.details["error"] <= row.details["tolerance"]
        assert row.details["gb_per_s"] > 0
        assert row.details["copy_gb_per_s"] > 0
        assert len(row.name) <= 28  # the column


def test_a_kernel_with_a_wrong_result_is_broken(monkeypatch):
    def wrong(x, b, act, clamp, impl):
        y = real(x, b, act=act, clamp=clamp, impl="reference")
        return y if impl == "reference" else y + 0.01

    real = trials.bias_act
    monkeypatch.setattr(trials, "bias_act", wrong)
    states = {row.name: row.state for row in kernels.trial_rows(CPU, 2, 8, 16, impl="auto")}
    assert states["bias_act float32"] == states["bias_act float16"] == "broken"
    assert states["upfirdn2d up 2 float32"] != "broken"


def test_a_kernel_that_fails_is_broken_and_the_others_are_tried(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("the kernel upfirdn2d could not be launched: CUDA_ERROR_INVALID_VALUE")

    monkeypatch.setattr(trials, "upfirdn2d", fails)
    rows = kernels.trial_rows(CPU, 1, 4, 8, impl="auto")
    assert [row.state == "broken" for row in rows] == [False] * 4 + [True] * 4
    assert "CUDA_ERROR_INVALID_VALUE" in rows[-1].found
    assert "export SGTOOL_KERNELS=off" in rows[-1].remedy


@pytest.mark.parametrize(
    ("error", "rate", "state"),
    [(1e-7, 900, "ok"), (1e-7, 501, "ok"), (1e-7, 499, "slow"), (2e-5, 900, "broken"), (float("nan"), 900, "broken")],
)
def test_a_kernel_is_judged_by_its_error_and_its_rate(error, rate, state):
    row = kernels.judged("bias_act float32", error, 1e-5, rate, copy=1000)
    assert row.state == state
    assert f"{rate} GB/s, {rate / 1000:.0%} of copying (1000 GB/s)" in row.found
