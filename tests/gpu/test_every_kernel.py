"""Every kernel there is, compiled, launched and compared."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from sgtool.ops import cuda, kernels, nvrtc

ROUNDING = {torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float32: 2**-20, torch.float64: 2**-47}


@pytest.fixture(scope="module")
def every_kernel():
    """The module beside this one."""
    spec = importlib.util.spec_from_file_location("every_kernel", Path(__file__).with_name("every_kernel.py"))
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_cases_are_all_kernels_and_each_gives_the_right_numbers(gpu, every_kernel):
    every_kernel.compile_all(nvrtc.best_arch(torch.cuda.get_device_capability(gpu)))
    launched, wrong = set(), []
    for case in every_kernel.cases(gpu):
        for result in case.results:
            result.fill_(float("nan"))
        cuda.run(case.launch, gpu)
        launched.add((case.launch.source, case.launch.kernel))
        for result, exact in zip(case.results, case.exact, strict=True):
            error = (result.double().cpu() - exact).abs() / (exact.abs() + exact.abs().mean())
            error = (error if case.jumps is None else error.masked_fill(case.jumps & ~result.cpu().isnan(), 0)).max().item()
            if not error <= 2 * ROUNDING[result.dtype]:
                wrong.append((case.launch.kernel, error))
    assert wrong == []
    assert launched == set(kernels.variants())
