"""Runs the CUDA kernels on the CPU: the same .cu files, compiled as C++ behind shim.h, launched as a `Launch` says."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sgtool.ops import kernels
from sgtool.ops.kernels import variants

HERE = Path(__file__).parent
SOURCES = Path(kernels.__file__).parent
GUARD = 1024  # bytes before and behind each tensor that must not be touched; NaN in every type
LETTERS = {np.int32: "i", np.int64: "l", np.float32: "f", np.float64: "d"}
COMPILE = [
    "g++",
    "-std=c++17",
    "-O1",
    "-shared",
    "-fPIC",
    "-w",
    "-fno-strict-aliasing",
    "-fsanitize=undefined",
    "-fno-sanitize-recover",
]

RUNNER = """
#include "shim.h"
#include "{source}"
static const shim::Kernel table[] = {{
{rows}
}};
extern "C" const char *parameters(int i) {{ return table[i].parameters.c_str(); }}
extern "C" const char *run(int i, const unsigned *sizes, size_t shared, void **arguments, int backward) {{
    return shim::run(table[i], sizes, shared, arguments, backward);
}}
"""


class Guarded:
    """A copy of a tensor's storage between two guards. What a kernel writes begins as NaN."""

    def __init__(self, tensor, written):
        self.tensor, self.written = tensor, written
        storage = tensor.untyped_storage()
        self.size = storage.nbytes()
        self.bytes = np.full(self.size + 2 * GUARD + 32, 0xFF, dtype=np.uint8)
        self.start = GUARD + (storage.data_ptr() - self.bytes.ctypes.data - GUARD) % 16  # aligned as the tensor is
        if not written:
            ctypes.memmove(self.bytes.ctypes.data + self.start, storage.data_ptr(), self.size)
        self.before = self.bytes.copy()
        self.pointer = ctypes.c_void_p(self.bytes.ctypes.data + self.start + tensor.storage_offset() * tensor.element_size())

    def finish(self):
        inside = slice(self.start, self.start + self.size)
        if self.written:
            ctypes.memmove(self.tensor.untyped_storage().data_ptr(), self.bytes[inside].ctypes.data, self.size)
            self.before[inside] = self.bytes[inside]
        assert np.array_equal(self.bytes, self.before), "the kernel wrote where it must not"


class Emulator:
    """Compiles a source with all its variants at first use, and runs launches."""

    def __init__(self, folder):
        self.folder, self.libraries, self.used = folder, {}, set()
        self.names = {}
        for source, kernel in variants():
            self.names.setdefault(source, []).append(kernel)

    def library(self, source):
        if source not in self.libraries:
            rows = "\n".join(f'    shim::make("{name}", {name}),' for name in self.names[source])
            unit = self.folder / f"{source}.cpp"
            unit.write_text(RUNNER.format(source=source, rows=rows))
            output = unit.with_suffix(".so")
            subprocess.run([*COMPILE, f"-I{HERE}", f"-I{SOURCES}", str(unit), "-o", str(output)], check=True)
            library = ctypes.CDLL(str(output))
            library.run.restype = library.parameters.restype = ctypes.c_char_p
            library.run.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int]
            self.libraries[source] = library
        return self.libraries[source]

    def run(self, launch, backward=False):
        """Run a launch. backward: threads and blocks in reverse order, which must not matter."""
        library = self.library(launch.source)
        index = self.names[launch.source].index(launch.kernel)
        letters = library.parameters(index).decode()
        assert len(letters) == len(launch.arguments), f"{launch.kernel} takes {len(letters)} arguments"
        guarded, values = [], []
        for letter, argument in zip(letters, launch.arguments, strict=True):
            if letter in "rw":
                if argument is None:
                    values.append(ctypes.c_void_p(None))
                    continue
                guarded.append(Guarded(argument, letter == "w"))
                values.append(guarded[-1].pointer)
            else:
                assert LETTERS[type(argument)] == letter, f"{argument!r} for a parameter of type {letter}"
                values.append(np.ctypeslib.as_ctypes(np.asarray(argument)))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        assert launch.grid[0] < 2**31, launch
        assert max(launch.grid[1:]) <= 65535, launch
        assert launch.block[2] <= 64, launch
        assert np.prod(launch.block) <= (128 if "channels" in launch.kernel else 256), launch
        sizes = (ctypes.c_uint * 6)(*launch.grid, *launch.block)
        wrong = library.run(index, sizes, launch.shared, pointers, backward)
        assert wrong is None, f"{launch.kernel}: {wrong.decode()}"
        for each in guarded:
            each.finish()
        self.used.add((launch.source, launch.kernel))


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    if not shutil.which("g++"):
        pytest.skip("no g++: the kernels' arithmetic is run on the CPU where there is one")
    return Emulator(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""
