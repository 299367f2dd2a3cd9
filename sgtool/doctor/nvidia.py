"""What the system says about NVIDIA GPUs, without PyTorch."""

import ctypes.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc/driver/nvidia")
WSL = "/usr/lib/wsl/lib/nvidia-smi"  # not on every PATH there
QUERY = ("--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class Nvidia:
    """NVIDIA hardware and driver."""

    gpus: tuple = ()  # names
    driver: str | None = None  # version
    complaint: str | None = None  # what nvidia-smi says if it fails
    library: bool = False  # the driver's library is installed


def look():
    """Ask nvidia-smi, else the kernel driver's files; look for the driver's library where neither knows a GPU."""
    program = shutil.which("nvidia-smi") or shutil.which(WSL)
    answer = _ask(program) if program else Nvidia()
    if not answer.gpus and PROC.is_dir():
        answer = Nvidia(_models(), _version(), answer.complaint)
    if answer.gpus or answer.complaint:
        return answer
    return Nvidia(driver=answer.driver, library=ctypes.util.find_library("cuda") is not None)


def _ask(program):
    try:
        done = subprocess.run([program, *QUERY], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Nvidia(complaint=f"nvidia-smi: {type(error).__name__}")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        words = [*lines, *done.stderr.split("\n")]
        return Nvidia(complaint=words[0] or f"nvidia-smi ends with code {done.returncode}")
    pairs = [line.rsplit(", ", 1) for line in lines if ", " in line]
    return Nvidia(tuple(name for name, _ in pairs), pairs[0][1] if pairs else None)


def _models():
    """Names of the GPUs that the kernel driver knows."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(PROC.glob("gpus/*/information"))]
    found = [re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE) for text in texts]
    return tuple(match[1] for match in found if match)


def _version():
    try:
        text = (PROC / "version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
    return match[1] if match else None
