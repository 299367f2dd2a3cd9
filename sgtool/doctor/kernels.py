"""The CUDA kernels: whether they can run and be compiled, whether their results are right, and how fast they come."""

import time

import torch

from sgtool.doctor.rows import Row, first_line, guarded
from sgtool.doctor.trials import BLUR, CLAMP, TRIALS, bytes_moved, copy_rate, error_of, seconds_of
from sgtool.ops import cuda, nvrtc
from sgtool.ops.kernels import bias_act_grad_launch, bias_act_launch, upfirdn2d_launch

TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3}  # relative to the largest magnitude; half precision rounds by 5e-4
FAST_ENOUGH = 0.5  # of the card's own copy
CHANNELS, SIZE, MOST_PICTURES = 64, 256, 32
BYTES = 24  # of GPU memory for each number in x, at most, in any trial
ARCH = "sm_90"  # compiled for where there is no GPU
SWITCH_OFF = f"export {cuda.SWITCH}=off"


def can_run():
    """A row that says whether ops on the GPUs take the kernels."""
    name, instead = "CUDA kernels", "plain PyTorch takes their place"
    if not torch.cuda.is_available():
        return Row(name, "not used: they are for NVIDIA GPUs that PyTorch can use")
    numbers = range(torch.cuda.device_count())
    reasons = {number: reason for number in numbers if (reason := cuda.unavailable(number))}
    if not reasons:
        return Row(name, "in use on every GPU" if len(numbers) > 1 else "in use")
    if all(_for_good(number) for number in reasons):
        return Row(name, f"{instead}: {next(iter(reasons.values()))}")
    number, reason = next((n, reason) for n, reason in reasons.items() if not _for_good(n))
    if cuda.SWITCH in reason:
        return Row(name, f"switched off; {instead}", "slow", f"{reason} Run: unset {cuda.SWITCH}")
    return Row(name, f"{instead} on GPU {number}", "slow", reason)


def _for_good(number):
    """True for a GPU that no command brings the kernels to: one of AMD, or older than they know."""
    return bool(torch.version.hip) or torch.cuda.get_device_capability(number) < cuda.OLDEST


def _wanted():
    """True if there is a GPU that the kernels are for."""
    return torch.cuda.is_available() and not _for_good(torch.cuda.current_device())


def compiler():
    """A row about NVRTC: its version, and how long it takes to compile the kernels that every network needs."""
    name, wanted = "NVRTC", _wanted()
    lack = nvrtc.missing()
    if lack and not wanted:
        return Row(name, "not there, and not needed without an NVIDIA GPU")
    if lack:
        return Row(name, lack, "slow", f"the CUDA kernels cannot be compiled; run: {cuda.pip_command()}")
    version = "{}.{}".format(*nvrtc.version())
    arch = nvrtc.best_arch(torch.cuda.get_device_capability()) if wanted else ARCH
    if arch is None:
        return Row(name, version, "slow", f"it is older than this GPU, so the CUDA kernels cannot run; run: {cuda.pip_command()}")
    start, kernels = time.perf_counter(), common_kernels()
    try:
        for source, names in kernels.items():
            nvrtc.compile_cubin(nvrtc.source_text(source), names, arch)
    except RuntimeError as error:
        state = "broken" if wanted and not cuda.unavailable() else "missing"
        remedy = f"it does not compile the CUDA kernels; run: {cuda.pip_command()} (or do without them: {SWITCH_OFF})"
        return Row(name, f"{version}: {first_line(error)}", state, remedy)
    number, seconds = sum(map(len, kernels.values())), time.perf_counter() - start
    details = {"version": version, "arch": arch, "kernels": number, "seconds": seconds}
    return Row(name, f"{version}, compiles {number} kernels for {arch} in {seconds:.1f} s", details=details)


def common_kernels():
    """Return {source: [kernel]} of the trials, as the launches name them for tensors without memory."""
    found = {}
    for dtype in TOLERANCES:
        for launch in _launches(dtype):
            found.setdefault(launch.source, []).append(launch.kernel)
    return found


def _launches(dtype):
    def pictures(size):
        return torch.empty(1, size, size, CHANNELS, dtype=dtype, device="meta").permute(0, 3, 1, 2)

    large, small, b = pictures(SIZE), pictures(SIZE // 2), torch.empty(CHANNELS, dtype=dtype, device="meta")
    f = torch.empty(len(BLUR), len(BLUR), device="meta")
    yield bias_act_launch(large, b, large, 1, "lrelu", 0.2, 1.0, CLAMP)
    yield bias_act_grad_launch(large, large, b, large, 1, "lrelu", 0.2, 1.0, CLAMP)
    yield upfirdn2d_launch(small, f, large, (2, 2), (1, 1), (2, 1, 2, 1), False, 4.0)
    yield upfirdn2d_launch(large, f, small, (1, 1), (2, 2), (1, 1, 1, 1), False, 1.0)


def compare():
    """Rows of the kernels beside their definitions and beside the card's own copy; none where kernels cannot run."""
    if not torch.cuda.is_available() or cuda.unavailable():
        return []
    device = torch.device("cuda", torch.cuda.current_device())
    free, _ = torch.cuda.mem_get_info(device)
    number = min(free // 2 // (BYTES * CHANNELS * SIZE * SIZE), MOST_PICTURES)
    if number < 1:
        remedy = (
            "the GPU's memory is taken, so no kernel was tried; end what uses it (nvidia-smi shows it) and run: sgtool doctor"
        )
        return [Row("CUDA kernels, results", f"{free / 1e9:.1f} GB of GPU memory are free", "missing", remedy)]
    return trial_rows(device, number, CHANNELS, SIZE, impl="cuda")


def trial_rows(device, n, channels, size, impl):
    """Return a row for each trial and type.

    Args:
        device: torch.device.
        n, channels, size: of the pictures, `[n, channels, size, size]`.
        impl: what is compared with the definition.
    """
    copy = copy_rate(n * channels * size * size, device)
    remedy = f"the kernel failed, and so will training; until it is mended: {SWITCH_OFF}"
    rows = []
    for trial in TRIALS:
        for dtype in TOLERANCES:
            name = name_of(trial, dtype)
            rows += guarded(name, remedy, _try, name, trial, trial.pictures(n, channels, size, dtype, device), copy, impl)
    return rows


def name_of(trial, dtype):
    """Return "bias_act backward float16"."""
    return f"{trial.name} {str(dtype).removeprefix('torch.')}"


def _try(name, trial, pictures, copy, impl):
    x, dy = pictures
    call = trial.make(impl, x, dy)
    result = call()
    error = error_of(trial, result, x, dy)
    rate = bytes_moved(trial, x, result) / seconds_of(call, x.device) / 1e9
    return judged(name, error, TOLERANCES[x.dtype], rate, copy)


def judged(name, error, tolerance, rate, copy):
    """Return the row of a kernel.

    Args:
        error: largest error relative to the largest magnitude; NaN is wrong too.
        tolerance: the largest that rounding explains.
        rate, copy: GB/s of the kernel, and of a copy on the same card.
    """
    found = f"error {error:.1e}, {rate:.0f} GB/s, {rate / copy:.0%} of copying ({copy:.0f} GB/s)"
    details = {"error": error, "tolerance": tolerance, "gb_per_s": rate, "copy_gb_per_s": copy}
    if not error <= tolerance:
        remedy = f"the result is wrong by {error:.1e}; more than {tolerance:.0e} is no rounding. Until it is mended: {SWITCH_OFF}"
        return Row(name, found, "broken", remedy, details)
    if rate < FAST_ENOUGH * copy:
        remedy = (
            f"{rate / copy:.0%} of the card's copy speed; end what else uses the GPU (nvidia-smi shows it) and run: sgtool doctor"
        )
        return Row(name, found, "slow", remedy, details)
    return Row(name, found, details=details)
