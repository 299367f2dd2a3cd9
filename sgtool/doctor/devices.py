"""GPUs: the ones PyTorch uses, and the ones it does not."""

import os
import warnings

import torch

from sgtool.doctor import nvidia, software
from sgtool.doctor.rows import Row, first_line

INDEX = "https://download.pytorch.org/whl"
BUILDS = ((580, "cu130"), (525, "cu126"))  # oldest NVIDIA driver (Linux) of CUDA 13 and of CUDA 12; builds of PyTorch for them
HIDDEN = "CUDA_VISIBLE_DEVICES"


def gpus():
    """A row for each GPU that PyTorch uses; else one row, which says what keeps it from one."""
    with warnings.catch_warnings(record=True) as caught:  # PyTorch says so if the driver is too old for it
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        driver = None if torch.version.hip else nvidia.look().driver
        return [_gpu(index, driver) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        return [Row("GPU", "Apple GPU (MPS)")]
    return [_unused(nvidia.look(), [first_line(w.message) for w in caught])]


def _gpu(index, driver):
    name = f"GPU {index}"
    problem = _cannot_compute(index)
    model = torch.cuda.get_device_name(index)
    if problem:
        remedy = f"PyTorch cannot compute on it; compute on the CPU with --device cpu, or run: {torch_command(driver)}"
        return Row(name, f"{model}: {problem}", "broken", remedy)
    free, total = torch.cuda.mem_get_info(index)
    details = {"model": model, "free_gb": free / 1e9, "total_gb": total / 1e9}
    parts = [model]
    if not torch.version.hip:
        capability = torch.cuda.get_device_capability(index)
        details |= {"compute_capability": list(capability), "driver": driver}
        parts += ["compute capability {}.{}".format(*capability), f"driver {driver or 'unknown'}"]
    parts.append(f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    return Row(name, ", ".join(parts), details=details)


def _cannot_compute(index):
    """Add a few numbers on a GPU: an old PyTorch knows a new GPU's name, but has no code for it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a GPU that it has no code for; the error says the same
            total = torch.arange(4.0, device=f"cuda:{index}").sum().item()
    except RuntimeError as error:
        return first_line(error)
    return None if total == 6 else f"0 + 1 + 2 + 3 is {total} on it"


def _unused(system, warned):
    """The row of a machine whose PyTorch finds no GPU. warned: what PyTorch said when it was asked."""
    nothing = "PyTorch uses none"
    if system.complaint:
        remedy = "NVIDIA's driver does not answer; restart, or install the driver anew, until this lists the GPU: nvidia-smi"
        return Row("GPU", f"{nothing}; nvidia-smi: {system.complaint}", "slow", remedy)
    if not system.gpus and not system.library:
        return Row("GPU", "none; everything is computed on the CPU")
    what = " and ".join(system.gpus) or "NVIDIA's driver library"
    found = f"{nothing}, but there is {what} (driver {system.driver or 'unknown'})"
    condition = "" if system.gpus else "if this machine has an NVIDIA GPU: "
    details = {"gpus": list(system.gpus), "driver": system.driver}
    return Row("GPU", found, "slow", condition + _way_to_use_it(system.driver, warned), details)


def _way_to_use_it(driver, warned):
    """A sentence: why PyTorch does not use an NVIDIA GPU, and the command that mends it."""
    if not torch.version.cuda:
        return f"this PyTorch is a {software.build(torch)} and cannot use the GPU; run: {torch_command(driver)}"
    if os.environ.get(HIDDEN) is not None:
        return f"{HIDDEN}={os.environ[HIDDEN]} hides the GPU from PyTorch; run: unset {HIDDEN}"
    why = f" ({warned[0]})" if warned else ""
    return f"PyTorch for CUDA {torch.version.cuda} cannot use the GPU{why}; update the driver, or run: {torch_command(driver)}"


def torch_command(driver):
    """Return the command that installs a PyTorch which an NVIDIA driver can serve.

    Args:
        driver: "580.65.06"; None if it is not known.
    """
    major = int(driver.split(".")[0]) if driver else BUILDS[0][0]
    builds = [name for oldest, name in BUILDS if major >= oldest]
    command = f"pip install --force-reinstall torch --index-url {INDEX}/{builds[0] if builds else BUILDS[-1][1]}"
    return command if builds else f"{command} (after updating the NVIDIA driver to {BUILDS[-1][0]} or newer)"
