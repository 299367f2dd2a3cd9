"""CUDA kernels on the GPU: can they run here, and launching them. With nvrtc.py the only file that knows CUDA.

Kernels are compiled when they are first needed (see cubins.py), loaded into torch's own context of the tensor's device, and
launched on torch's current stream. Nothing here waits for the GPU or takes memory of it, so that a launch can be captured in a
CUDA graph; a kernel whose first use is inside a capture is loaded in relaxed capture mode, which the driver allows.
"""

import ctypes
import functools
import os
import struct
import threading

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.ops import cubins, nvrtc
from sgtool.ops.nvrtc import compile_cubin

__all__ = ["compile_cubin", "run", "unavailable"]

OLDEST = (7, 5)  # compute capability: Turing
SWITCH = "SGTOOL_KERNELS"  # environment variable: off = plain PyTorch everywhere
INVALID_CONTEXT = 201  # CUDA_ERROR_INVALID_CONTEXT: this thread has no context yet


def unavailable(device=None):
    """Say in one sentence why the kernels cannot run; None if they can. Found out once in a process for each device.

    Args:
        device: a CUDA device, or its number; None = torch's current one.
    """
    index = device if device is None or isinstance(device, int) else torch.device(device).index
    return _why_not(index)


@functools.cache
def _why_not(index):
    reason = _switched_off() or _no_device()
    if reason:
        return reason
    index = torch.cuda.current_device() if index is None else index
    capability = torch.cuda.get_device_capability(index)
    if capability < OLDEST:
        return f"The GPU has compute capability {_dotted(capability)}; sgtool's CUDA kernels need {_dotted(OLDEST)} or newer."
    missing = nvrtc.missing()
    if missing:
        return f"sgtool's CUDA kernels need more packages: {missing}; run: {pip_command()}"
    return _too_old(capability)


def _switched_off():
    value = os.environ.get(SWITCH, "on")
    if value not in ("", "on", "off"):
        raise UserError(f"The environment variable {SWITCH} is {value!r}. Set it to on or off, or unset it.")
    return f"The environment variable {SWITCH}=off switches sgtool's CUDA kernels off." if value == "off" else None


def _no_device():
    if torch.version.hip:
        return "This build of PyTorch is for ROCm, and sgtool's kernels are CUDA."
    if torch.version.cuda is None:
        return "This build of PyTorch has no CUDA; install one that has, see https://pytorch.org/get-started/locally"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA GPU; look at what nvidia-smi says, and at CUDA_VISIBLE_DEVICES."
    return None


def _too_old(capability):
    """Compare the driver and the GPU with the compiler: code of a newer major version than the driver's does not load."""
    driver = _check(_driver().cuDriverGetVersion())
    compiler = f"the compiler NVRTC {_dotted(nvrtc.version())}"
    supported = driver // 1000, driver % 1000 // 10
    if supported[0] < nvrtc.version()[0]:
        remedy = f"update the driver, or run: {pip_command(supported[0])}"
        return f"The NVIDIA driver supports CUDA {_dotted(supported)}, which is older than {compiler}; {remedy}"
    if nvrtc.best_arch(capability) is None:
        return f"The GPU (compute capability {_dotted(capability)}) is newer than {compiler}; run: {pip_command()}"
    return None


def _dotted(version):
    return "{}.{}".format(*version)


def pip_command(major=None):
    """Return the command that installs what the kernels need, for a CUDA version (default: that of torch)."""
    major = major or int((torch.version.cuda or "13").split(".")[0])
    return f'pip install "sgtool[cu{min(max(major, 12), 13)}]"'


def run(launch, device):
    """Launch a kernel on torch's current stream of a device.

    Args:
        launch: a `Launch` (see ops/kernels) whose tensors are on `device`.
        device: torch.device with an index.
    Raises:
        RuntimeError: the kernel cannot be compiled, loaded or launched; the message names it.
    """
    if torch.cuda.current_device() != device.index:
        with torch.cuda.device(device):
            return run(launch, device)
    function = _FUNCTIONS.get((device.index, launch.source, launch.kernel)) or _load(launch, device.index)
    if launch.shared > function.shared:
        function.allow_shared(launch.shared)
    arguments = _arguments_of(launch)
    stream = torch.cuda.current_stream(device).cuda_stream
    status = _start(function, launch, arguments, stream)
    if status == INVALID_CONTEXT:  # a new thread; torch enters the context when it first asks the runtime for something
        _enter_context(device.index)
        status = _start(function, launch, arguments, stream)
    if status:
        raise RuntimeError(f"the kernel {launch.kernel} could not be launched on {device}: {_name_of(status)}")
    return None


def _start(function, launch, arguments, stream):
    """0 or the number of an error. The driver has copied the arguments when it returns."""
    (status,) = function.launch(function.handle, *launch.grid, *launch.block, launch.shared, stream, arguments, 0)
    return int(status)


class _Function:
    """A kernel in a device's context."""

    def __init__(self, handle):
        self.handle = handle
        self.launch = _driver().cuLaunchKernel
        self.shared = 0  # bytes of dynamic shared memory that it may take

    def allow_shared(self, size):
        """Beyond 48 KB a kernel must ask first."""
        driver = _driver()
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _check(driver.cuFuncSetAttribute(self.handle, attribute, size))
        self.shared = size


_FUNCTIONS = {}  # (device number, source, kernel) -> _Function
_MODULES = []  # what is loaded stays loaded until the process ends
_LOCK = threading.Lock()


def _load(launch, index):
    """Find or compile a kernel and load it on a device; one thread does it, the others wait."""
    with _LOCK:
        key = (index, launch.source, launch.kernel)
        if key not in _FUNCTIONS:
            arch = nvrtc.best_arch(torch.cuda.get_device_capability(index))
            cubin, name = cubins.load_or_compile(launch.source, launch.kernel, arch)
            try:
                _FUNCTIONS[key] = _Function(_load_module(cubin, name, index))
            except RuntimeError as error:
                raise RuntimeError(f"the kernel {launch.kernel} ({arch}) could not be loaded on cuda:{index}: {error}") from error
        return _FUNCTIONS[key]


def _load_module(cubin, name, index):
    """Load machine code into a device's context; return the handle of its kernel."""
    _enter_context(index)
    with _RelaxedCapture():
        module = _check(_driver().cuModuleLoadData(cubin))
        _MODULES.append(module)
        return _check(_driver().cuModuleGetFunction(module, name.encode()))


class _RelaxedCapture:
    """Inside it this thread may load modules although a stream is being captured into a CUDA graph."""

    def __enter__(self):
        mode = _driver().CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        self.before = _check(_driver().cuThreadExchangeStreamCaptureMode(mode))

    def __exit__(self, *error):
        _check(_driver().cuThreadExchangeStreamCaptureMode(self.before))


def _enter_context(index):
    """Make torch's context of a device (the primary one) current in this thread."""
    _check(_driver().cuCtxSetCurrent(_primary_context(index)))


@functools.cache
def _primary_context(index):
    device = _check(_driver().cuDeviceGet(index))  # torch and the driver number the visible devices alike
    return _check(_driver().cuDevicePrimaryCtxRetain(device))


class _Arguments:
    """Memory for the arguments of one kernel in one thread, in the form the driver wants: an array of their addresses.

    Args:
        types: the Python types of the arguments; tensors and None are pointers, NumPy scalars keep their type.
    """

    FORMATS = {"int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d"}

    def __init__(self, types):
        formats = [self._format(kind) for kind in types]
        if None in formats:
            raise TypeError(f"a kernel cannot take an argument of type {types[formats.index(None)].__name__}")
        self.pack = struct.Struct("@" + "".join(formats)).pack_into
        ends = [struct.calcsize("@" + "".join(formats[: i + 1])) for i in range(len(formats))]
        self.memory = ctypes.create_string_buffer(max(ends, default=1))
        start = ctypes.addressof(self.memory)
        offsets = [end - struct.calcsize(form) for end, form in zip(ends, formats, strict=True)]
        self.pointers = (ctypes.c_void_p * len(offsets))(*(start + offset for offset in offsets))
        self.address = ctypes.addressof(self.pointers)

    def _format(self, kind):
        """The letter of the module struct for a type; None if a kernel cannot take it."""
        if kind is type(None) or issubclass(kind, torch.Tensor):
            return "P"
        return self.FORMATS.get(kind.__name__) if issubclass(kind, np.generic) else None


class _ThreadArguments(threading.local):
    """{(kernel, types): _Arguments} of this thread."""

    def __init__(self):
        self.known = {}


_ARGUMENTS = _ThreadArguments()


def _arguments_of(launch):
    """Write a launch's arguments into this thread's memory for them; return its address."""
    key = (launch.kernel, *map(type, launch.arguments))
    arguments = _ARGUMENTS.known.get(key)
    if arguments is None:
        arguments = _ARGUMENTS.known[key] = _Arguments(key[1:])
    arguments.pack(arguments.memory, 0, *map(_plain, launch.arguments))
    return arguments.address


def _plain(argument):
    """A tensor's address; 0 for None; numbers as they are."""
    if isinstance(argument, torch.Tensor):
        return argument.data_ptr()
    return 0 if argument is None else argument


@functools.cache
def _driver():
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise RuntimeError(f"the package cuda-bindings cannot be used ({error}); run: {pip_command()}") from error
    return driver


def _check(answer):
    """Return what a driver function gives after its status.

    Raises:
        RuntimeError: the status is an error's.
    """
    status, *values = answer
    if int(status) != 0:
        raise RuntimeError(f"the CUDA driver answers {_name_of(int(status))}")
    return values[0] if values else None


def _name_of(status):
    """The driver's name for a number: CUDA_ERROR_..."""
    _, name = _driver().cuGetErrorName(_driver().CUresult(status))
    return name.decode() if name else f"error {status}"
