"""What is told of a run at its ticks, in words and numbers. A report is called as report(state, tick); it reads the state."""

import math
import os
import sys
import time

import torch
from tqdm import tqdm

from sgtool.training.lines import Lines, append_line, keep_until

try:
    import resource
except ImportError:  # Windows
    resource = None


class Log:
    """Prints lines and keeps them in log.txt, those from before the file was known too, and those of the time of a full disk."""

    def __init__(self):
        self._lines, self._is_read = Lines(), True

    def __call__(self, text=""):
        self._print(text)
        self._lines.add(text)

    def _print(self, text):
        """Print a line. If nobody reads any more (a closed pipe or terminal), the run goes on, and log.txt has it all."""
        if not self._is_read:
            return
        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):  # closed pipe; closed file; no stdout at all
            self._is_read = False
            # For the flush when Python ends, too.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    def attach(self, path):
        """Go on in the file `path`, at its end."""
        self._lines.attach(path)


def duration(seconds):
    """Write seconds as people do: 45s, 12m 05s, 3h 07m, 2d 04h."""
    s = round(seconds)
    for size, name, small, small_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if s >= size:
            return f"{s // size}{name} {s % size // small:02d}{small_name}"
    return f"{s}s"


def memory_gb(device):
    """Peak memory in GB: of this process, and on the GPU (0 without one)."""
    scale = 1e9 if sys.platform == "darwin" else 1e6  # bytes there, kilobytes elsewhere
    cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale if resource else math.nan
    return cpu, torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0


class StatusLine:
    """One line a tick."""

    def __init__(self, log):
        self.log = log
        self._told_limit = False

    def __call__(self, state, tick):
        rate = tick.seconds / max(tick.images, 1) * 1000
        left = max(state.config.kimg * 1000 - state.nimg, 0) / 1000 * rate
        cpu, gpu = memory_gb(state.device)
        rt = "-" if state.ada.rt is None else f"{state.ada.rt:.2f}"
        fields = [
            f"tick {tick.number:<4d}",
            f"kimg {state.nimg / 1000:<8.1f}",
            f"time {duration(state.elapsed):<8s}",
            f"left {duration(left) if tick.number else '-':<8s}",
            f"s/kimg {rate:<7.2f}",
            f"data {tick.data_seconds / max(tick.seconds, 1e-9):<4.0%}",
            f"mem {cpu:.2f} GB" + (f" gpu {gpu:.2f} GB" if gpu else ""),
            f"p {state.ada.p:.3f}",
            f"r_t {rt}",
            f"loss G {_mean(tick, 'Loss/G/loss')} D {_mean(tick, 'Loss/D/loss')}",
        ]
        if state.nonfinite:
            fields.append(f"skipped {state.nonfinite} steps with gradients that are no finite numbers")
        self.log("  ".join(fields))
        if state.ada.at_limit and state.config.aug == "ada" and not self._told_limit:
            self._told_limit = True
            self.log(
                f"ADA p has reached --p-max {state.config.p_max:g} and is held there: beyond it the generator begins to "
                "imitate the augmentations (they leak). D still overfits: more pictures, or a larger --gamma, help."
            )


def _mean(tick, name):
    return f"{tick.stats[name]['mean']:.3f}" if name in tick.stats else "-"


class StatsFile:
    """stats.jsonl: a line a tick, as NVIDIA's; and tfevents where tensorboard is installed."""

    def __init__(self, folder, nimg):
        self.path = folder / "stats.jsonl"
        keep_until(self.path, nimg)
        self.writer = None
        self.reopen(nimg)

    def reopen(self, nimg=0):
        """Begin new tfevents, at the start and where those before have gone; without space, at the next tick."""
        try:
            self.writer = _tensorboard(self.path.parent, nimg)
            self._is_open = True
        except OSError:
            self._is_open = False

    def __call__(self, state, tick):
        stats = tick.stats | {name: {"num": 1, "mean": value, "std": 0.0} for name, value in _progress(state, tick).items()}
        append_line(self.path, stats | {"nimg": state.nimg, "timestamp": time.time()})
        if not self._is_open:
            self.reopen()
        if self.writer is not None:
            self._write_events(stats, state.nimg)

    def _write_events(self, stats, nimg):
        """Write tfevents, which nothing rests on. Without space they go on at the next tick, in a new file."""
        try:
            for name, row in stats.items():
                self.writer.add_scalar(name, row["mean"], global_step=nimg // 1000)
            self.writer.flush()
        except OSError:
            self.writer, self._is_open = None, False


def _progress(state, tick):
    """The numbers of a tick that are not of the training itself."""
    cpu, gpu = memory_gb(state.device)
    values = {
        "Progress/tick": tick.number,
        "Progress/kimg": state.nimg / 1000,
        "Progress/augment": state.ada.p,
        "Timing/sec_per_tick": tick.seconds,
        "Timing/sec_per_kimg": tick.seconds / max(tick.images, 1) * 1000,
        "Timing/data_sec": tick.data_seconds,
        "Timing/maintenance_sec": sum(tick.report_seconds.values()),
        "Timing/total_sec": state.elapsed,
        "Resources/cpu_mem_gb": cpu,
        "Resources/peak_gpu_mem_gb": gpu,
        "Progress/skipped_steps": state.nonfinite,
    }
    if state.ada.rt is not None:
        values["Progress/rt"] = state.ada.rt
    return values | {f"Timing/reports/{name}": seconds for name, seconds in tick.report_seconds.items()}


def _tensorboard(folder, nimg):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=nimg // 1000 + 1 if nimg else None)
