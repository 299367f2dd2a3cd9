"""The list of checks, and running them."""

import importlib
from typing import NamedTuple

from sgtool.doctor.rows import guarded


class Check(NamedTuple):
    """A function of a module of this folder; the module is imported when the check runs."""

    name: str
    module: str
    function: str
    needs_torch: bool = True


TORCH = Check("PyTorch", "software", "pytorch", needs_torch=False)
CHECKS = (
    Check("Python", "software", "python", needs_torch=False),
    Check("sgtool", "software", "sgtool", needs_torch=False),
    TORCH,
    Check("GPU", "devices", "gpus"),
    Check("CUDA kernels", "kernels", "can_run"),
    Check("NVRTC", "kernels", "compiler"),
    Check("CUDA kernels, results", "kernels", "compare"),
    Check("CPU ops", "cpu", "ops"),
    Check("CPU convolution", "cpu", "convolution"),
    Check("Pillow", "software", "pillow", needs_torch=False),
    Check("dlib", "software", "dlib", needs_torch=False),
    Check("face landmarks", "software", "face_landmarks", needs_torch=False),
    Check("tensorboard", "software", "tensorboard", needs_torch=False),
    Check("kernel cache", "storage", "kernel_cache"),
    Check("disk", "storage", "disk", needs_torch=False),
)
REPORT = "this check itself failed; run it again, and if it stays so, report it with the output of: sgtool doctor --json"


def examine():
    """Run every check and yield its rows as they come. No check's error ends the examination.

    Where PyTorch cannot be used, the checks that need it are left out: its own row says so.
    """
    torch_works = True
    for check in CHECKS:
        if check.needs_torch and not torch_works:
            continue
        rows = guarded(check.name, REPORT, _run, check)
        if check is TORCH:
            torch_works = all(row.state != "broken" for row in rows)
        yield from rows


def examine_links(count=None):
    """Test the links between processes: those of the job that this one belongs to, or `count` on this machine. Yields rows."""
    yield from guarded("links", REPORT, importlib.import_module("sgtool.doctor.links").links, count)


def _run(check):
    module = importlib.import_module(f"sgtool.doctor.{check.module}")
    return getattr(module, check.function)()
