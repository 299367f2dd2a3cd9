"""Every kernel compiles for every architecture, by NVRTC, without a GPU."""

from collections import defaultdict
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_variant_compiles(arch):
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
