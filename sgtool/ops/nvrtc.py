"""CUDA C++ to machine code by NVRTC: no nvcc, no host compiler, no GPU and no driver needed."""

import functools
import hashlib
import importlib
import re
import threading
from pathlib import Path

SOURCES = Path(__file__).parent / "kernels"
STANDARD = "c++17"
_LOCK = threading.Lock()


def compile_cubin(source, kernels, arch):
    """Compile CUDA C++ to machine code (cubin, never PTX: a driver older than this NVRTC's minor version loads it too).

    Args:
        source: text of a .cu file. It may include the .cuh files of ops/kernels; headers of CUDA are not at hand.
        kernels: name expressions to instantiate, such as `["scale<float>", "scale<__half>"]`.
        arch: "sm_90".
    Returns:
        The cubin as bytes, and {name expression: name inside the cubin}.
    Raises:
        RuntimeError: cuda-core or NVRTC is missing, or NVRTC refuses the source (with its log).
    """
    reason = missing()
    if reason:
        raise RuntimeError(f"CUDA kernels cannot be compiled: {reason}")
    core = cuda_core()
    options = core.ProgramOptions(std=STANDARD, arch=arch, include_path=[str(SOURCES)])
    with _LOCK:
        try:
            program = core.Program(source, "c++", options)
            code = program.compile("cubin", name_expressions=tuple(kernels))
        except Exception as error:  # cuda-core has a class of its own for every kind of refusal
            raise RuntimeError(f"NVRTC could not compile {', '.join(kernels)} for {arch}: {error}") from error
    mapping = code.symbol_mapping if hasattr(code, "symbol_mapping") else code._sym_map  # before cuda-core 0.4
    return bytes(code.code), {kernel: _text(mapping[kernel]) for kernel in kernels}


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


def cuda_core():
    """Return the module of cuda-core; before version 1 its classes lay in `cuda.core.experimental`."""
    try:
        from cuda import core

        if hasattr(core, "Program"):
            return core
        return importlib.import_module("cuda.core.experimental")
    except (ImportError, AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:  # of versions that do not fit
        raise ImportError(f"the package cuda-core cannot be used ({_first_line(error)})") from error


def missing():
    """Say what is missing for compiling, as half a sentence; None if all is there."""
    try:
        cuda_core()
    except ImportError as error:
        return str(error)
    try:
        version()
    except (ImportError, OSError, RuntimeError) as error:
        return f"NVRTC, the compiler library, was not found ({_first_line(error)})"
    return None


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


@functools.cache
def version():
    """Return (major, minor) of NVRTC."""
    status, major, minor = _bindings().nvrtcVersion()
    if int(status) != 0:
        raise RuntimeError(f"nvrtcVersion answers {status}")
    return major, minor


def _bindings():
    try:
        from cuda.bindings import nvrtc
    except ImportError as error:
        raise ImportError(f"the package cuda-bindings cannot be used ({error})") from error
    return nvrtc


def best_arch(capability):
    """Return the "sm_.." to compile for, or None if this NVRTC is too old for the GPU.

    Machine code runs on the compute capability it is made for and on later ones of the same major version.

    Args:
        capability: (major, minor) of the GPU.
    """
    status, known = _bindings().nvrtcGetSupportedArchs()
    if int(status) != 0:
        raise RuntimeError(f"nvrtcGetSupportedArchs answers {status}")
    wanted = 10 * capability[0] + capability[1]
    usable = [arch for arch in known if arch // 10 == capability[0] and arch <= wanted]
    return f"sm_{max(usable)}" if usable else None


def source_text(name):
    """Return the text of a file in ops/kernels."""
    return _read(SOURCES, name)


@functools.cache
def _read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


@functools.cache
def _digest(folder, name):
    """SHA-256 of a file of the folder and of every file of the folder that it includes."""
    waiting, texts = [name], {}
    while waiting:
        file = waiting.pop()
        if file not in texts and (folder / file).is_file():
            texts[file] = _read(folder, file)
            waiting += re.findall(r'^\s*#\s*include\s*"([^"]+)"', texts[file], re.MULTILINE)
    return hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()


def source_digest(name):
    """Return 64 hexadecimal digits that change with the source `name` and with every .cuh file that it includes."""
    return _digest(SOURCES, name)
