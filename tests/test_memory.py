"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from sgtool.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    for _ in range(20):
        torch.ones(48 << 20, dtype=torch.uint8)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_blocks_are_reused_without_page_faults():
    faults = {}
    for mode in ("keep", "default"):
        result = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
        faults[mode] = int(result.stdout)
    assert faults["keep"] * 10 < faults["default"]


RETURNED = """
import sys, torch
from sgtool.memory import keep_freed_memory, return_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
keep_freed_memory()
blocks = [torch.ones(8 << 20, dtype=torch.uint8) for _ in range(20)]
del blocks[::2]
kept = resident()
assert return_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_kept_blocks_are_returned_when_they_are_wanted_elsewhere():
    result = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True, check=True)
    assert int(result.stdout) > 60 << 20  # of 80 MB
