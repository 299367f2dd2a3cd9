"""Launches a kernel on the driver of fake_driver.c and prints, as JSON, what arrived there. test_cuda.py runs it."""

import ctypes
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from sgtool.ops import cuda, nvrtc
from sgtool.ops.kernels import Launch

nvrtc.SOURCES = Path(sys.argv[1])
torch.cuda.current_device = lambda: 0
torch.cuda.get_device_capability = lambda index: (9, 0)
torch.cuda.current_stream = lambda device: SimpleNamespace(cuda_stream=4321)
driver = ctypes.CDLL("libcuda.so.1")
arrived = []


def arrive(numbers, context, stream, parameters):
    y, x = (ctypes.c_void_p.from_address(parameters[i]).value for i in (0, 1))
    a, n = ctypes.c_float.from_address(parameters[2]).value, ctypes.c_int64.from_address(parameters[3]).value
    arrived.append(
        {"numbers": numbers[:7], "context": context, "stream": stream, "y": y == result.data_ptr(), "x": x, "a": a, "n": n}
    )


pointers = ctypes.POINTER(ctypes.c_uint), ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)
callback = ctypes.CFUNCTYPE(None, *pointers)(arrive)
driver.fake_watch(callback)
result, device = torch.empty(4), torch.device("cuda", 0)


def launch(grid=(1, 2, 3), shared=0, arguments=None):
    arguments = arguments or (result, None, np.float32(2.5), np.int64(2**40))
    cuda.run(Launch("scale.cu", "scale<float>", grid, (128, 1, 1), shared, arguments), device)


def refusal(**settings):
    try:
        launch(**settings)
    except (RuntimeError, TypeError) as error:
        return str(error)


launch(shared=60000)
threads = [threading.Thread(target=launch) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
refusals = [
    refusal(grid=(0, 1, 1)),
    refusal(shared=300000),
    refusal(arguments=(result, result, np.float16(1), np.int64(1))),
    refusal(arguments=(result, "text", np.float32(1), np.int64(1))),
]
report = {"arrived": arrived, "modules": driver.fake_modules(), "capture_mode": driver.fake_capture_mode(), "refusals": refusals}
print(json.dumps(report))
