"""Every kernel compiles for every architecture, by NVRTC, without a GPU."""

import time
from collections import defaultdict
from pathlib import Path

import pytest
from cuda.core import Program, ProgramOptions

from sgtool.ops import kernels
from sgtool.ops.kernels import variants
from sgtool.ops.nvrtc import compile_cubin

SOURCES = Path(kernels.__file__).parent
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


def text_of(source):
    return (SOURCES / source).read_text(encoding="utf-8")


def by_source():
    names = defaultdict(list)
    for source, kernel in variants():
        names[source].append(kernel)
    return names


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_variant_compiles(arch):
    """With little optimization, which takes a fifth of the time; the next test compiles as users do."""
    for source, names in by_source().items():
        options = ProgramOptions(arch=arch, std="c++17", include_path=str(SOURCES), ofast_compile="max")
        program = Program(text_of(source), "c++", options)
        code = bytes(program.compile("cubin", name_expressions=names).code)
        assert code.startswith(b"\x7fELF")
        assert all(name.split("<")[0].encode() in code for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_variant_compiles_optimized(arch):
    for source, names in by_source().items():
        code, lowered = compile_cubin(text_of(source), names, arch)
        assert code.startswith(b"\x7fELF")
        assert set(lowered) == set(names)


def test_no_kernel_needs_a_header_of_the_toolkit():
    included = {
        line.split('"')[1] for path in SOURCES.glob("*.cu*") for line in path.read_text().splitlines() if "#include" in line
    }
    assert included == {"types.cuh", "resample.cuh"}


def test_variants_are_listed_once_and_their_sources_exist():
    listed = variants()
    assert len(set(listed)) == len(listed)
    assert {source for source, _ in listed} == {path.name for path in SOURCES.glob("*.cu")}


@pytest.mark.parametrize(
    ("source", "kernel"),
    [
        ("bias_act.cu", "bias_act<float16, 2, 0, index32>"),
        ("upfirdn2d_channels.cu", "upfirdn2d_channels<float16, 1, 1, 1, 1, 4, 4, 2, 4>"),
        ("upfirdn2d_tile.cu", "upfirdn2d_tile<float, 2, 2, 1, 1, 12, 12, 4, 4, true>"),
    ],
)
def test_one_kernel_compiles_in_a_moment(source, kernel):
    assert (source, kernel) in variants()
    start = time.monotonic()
    compile_cubin(text_of(source), [kernel], "sm_90")
    assert time.monotonic() - start < 2
