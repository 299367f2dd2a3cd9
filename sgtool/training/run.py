"""A training run from its options to its last snapshot."""

import contextlib
import dataclasses
import json
import re
import shutil
from pathlib import Path

import torch

from sgtool import __version__
from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.files import write_text
from sgtool.memory import keep_freed_memory
from sgtool.networks import describe_precision, has_hardware
from sgtool.options import torch_device
from sgtool.training import resume as resuming
from sgtool.training import transfer
from sgtool.training.augment import PIPES, AugmentPipe
from sgtool.training.data import Loader
from sgtool.training.folders import clear_leftovers, describe, locked, make_run_folder, read_options
from sgtool.training.loop import Stop, run_loop
from sgtool.training.pictures import PictureGrid
from sgtool.training.quality import Metrics, check_metrics
from sgtool.training.reports import Log, StatsFile, StatusLine, duration
from sgtool.training.resolve import Options, check_options, resolve
from sgtool.training.saving import Checkpoints, Snapshots
from sgtool.training.state import TrainState


@dataclasses.dataclass
class Plan:
    """A run that has been checked and may begin.

    Attributes:
        config: `TrainConfig`.
        reasons: {field: why it has its value}.
        given: options as asked for, plain values.
        data: path of the dataset.
        dataset: `ImageDataset`.
        device: torch device.
        folder: run folder to go on in, None = a new one.
        checkpoint: contents to go on from, None = start.
        source: `transfer.Source` to take networks from, None = random start values.
        description: for the name of a new folder.
    """

    config: object
    reasons: dict
    given: dict
    data: str
    dataset: object
    device: torch.device
    folder: Path | None = None
    checkpoint: dict | None = None
    source: object | None = None
    description: str = ""


def train(data=None, outdir=None, resume=None, device="auto", dry_run=False, desc=None, offline=False, **given):
    """Train, or go on training.

    Args:
        data: dataset (zip or folder); None with `resume` of a run = that run's.
        outdir: folder in which the run folder is made.
        resume: run folder or checkpoint to go on with, "auto", or a snapshot for transfer learning:
            a file, a URL or a known name.
        device: "auto", "cpu", "cuda" or "mps".
        dry_run: print the configuration and stop.
        desc: text for the end of the run folder's name.
        offline: use what was downloaded before, never the network.
        given: fields of `resolve.Options`; None or absent = default.
    Returns:
        The run folder (`Path`), or None for a dry run.
    Raises:
        UserError: something that the user can mend, found before the first step.
        SystemExit: stopped by Ctrl-C or SIGTERM, after a checkpoint was written; code 128 + signal.
    """
    log = Log()
    given = {name: value for name, value in given.items() if value is not None}
    plan = make_plan(data, outdir, resume, device, desc, given, log, offline)
    print_config(plan, log)
    if dry_run:
        log("Dry run: nothing was written.")
        return None
    if plan.checkpoint is not None and plan.checkpoint["state"]["counters"]["nimg"] >= plan.config.kimg * 1000:
        log(f"{plan.folder} is complete: {plan.config.kimg} kimg. To go on, ask for more with --kimg.")
        return plan.folder
    if plan.folder is None:
        plan.folder = make_run_folder(outdir, plan.description)
    with locked(plan.folder):
        clear_leftovers(plan.folder)
        return run(plan, log)


def make_plan(data, outdir, resume, device, desc, given, say, offline=False):
    """Check everything that can be checked before the first step and decide where to start."""
    device = torch_device(device)
    if "metrics" in given:
        given = given | {"metrics": check_metrics(given["metrics"], say)}
    if desc is not None and not re.fullmatch(r"[^/\\\0]{1,100}", desc):
        raise UserError(f"--desc {desc[:40]}: it becomes part of a folder's name. Write at most 100 characters, no slash.")
    folder = resuming.folder_of(resume)
    if folder is None and outdir is None:
        raise UserError("--outdir is missing: name the folder in which the run's folder is to be made.")
    if given.get("grow") and (folder is not None or resume in (None, "noresume", "auto")):
        raise UserError("--grow: it copies what fits from trained networks into a new run. Name a snapshot of them by --resume.")
    if folder is not None:
        checkpoint = resuming.read_checkpoint(resume)
        stored = resuming.stored_config(folder, checkpoint)
        given = checkpoint["options"] | given
        data = data or checkpoint["data"]
        dataset = open_data(data, Options(**given))
        config, reasons = configure(Options(**given), dataset, stored.networks)
        config = resuming.agree(folder, stored, dataclasses.replace(config, source=stored.source))
        return Plan(config, reasons, given, data, dataset, device, folder, checkpoint)
    if data is None:
        raise UserError("--data is missing: name a dataset (zip or folder) made by sgtool prepare.")
    if resume in (None, "noresume", "auto"):
        dataset = open_data(data, Options(**given))
        config, reasons = configure(Options(**given), dataset)
        plan = Plan(config, reasons, given, data, dataset, device)
        if resume == "auto":
            plan.folder, plan.checkpoint = resuming.newest_agreeing(outdir, config, say)
    else:
        plan = plan_transfer(data, resume, device, given | {"transfer": True}, say, offline)
    plan.description = describe(Options(**plan.given), plan.given, plan.dataset) + (f"-{desc}" if desc else "")
    return plan


def plan_transfer(data, resume, device, given, say, offline):
    """Plan a run that starts from a snapshot's networks."""
    options = Options(**given)
    check_options(options)  # before anything is downloaded
    dataset = open_data(data, options)
    source = transfer.read_source(resume, offline, say)
    transfer.check(source, options, dataset)
    config, reasons = configure(options, dataset, source.networks)
    config = dataclasses.replace(config, source=source.about)
    transfer.plan(source, config, options, dataset.class_names)
    return Plan(config, reasons, given, data, dataset, device, source=source)


def open_data(data, options):
    """Open the dataset, with the choice of pictures that was asked for."""
    dataset = open_dataset(data)
    if options.subset is not None:
        dataset = dataset.subset(options.subset, options.seed)
    return dataset.mirrored() if options.mirror else dataset


def configure(options, dataset, networks=None):
    """Resolve the options, with keywords of networks to adopt or None. Returns (config, reasons)."""
    config, reasons = resolve(options, dataset, networks)
    if dataset.channels not in (1, 3, 4) and config.aug != "noaug" and PIPES["color"].keys() & PIPES[config.augpipe].keys():
        raise UserError(
            f"--augpipe {config.augpipe}: colour transforms know pictures of 1, 3 or 4 channels, not {dataset.channels}. "
            "Choose --augpipe bg, or --aug noaug."
        )
    return config, reasons


def print_config(plan, say):
    """Tell the configuration, with the reason for each value that was computed."""
    config = plan.config
    labels = f"labels of width {config.c_dim}" if config.c_dim else "labels not used"
    channels = "1 channel" if config.channels == 1 else f"{config.channels} channels"
    say(f"Data: {plan.data}, {config.num_images} pictures of {config.width}x{config.height}, {channels}, {labels}")
    if not config.c_dim and plan.dataset.label_dim:
        say(f"The data has labels ({plan.dataset.label_dim} classes); --cond 1 trains with them.")
    for line in plan.source.lines if plan.source is not None else ():
        say(line)
    say(f"Device: {plan.device}. Configuration:")
    for name, value in config.as_dict().items():
        if value is None and name in ("generator", "discriminator", "source"):
            continue
        reason = plan.reasons.get(name)
        say(f"  {name:18s} {json.dumps(value):>10s}" + (f"   # {reason}" if reason else ""))


def run(plan, log):
    """Train in plan.folder until the end or a signal."""
    config, folder, device = plan.config, plan.folder, plan.device
    set_backend(config, device)
    goes_on_from = None if plan.checkpoint is None else plan.checkpoint["name"]
    state = start_state(plan, log)
    check_disk(folder, state)
    log.attach(folder / "log.txt")
    write_options(plan)
    extra = {"options": plan.given, "data": str(Path(plan.data).absolute())}
    checkpoints = Checkpoints(folder, extra, is_sound=goes_on_from == "checkpoint.pkl")
    grid = PictureGrid(folder, plan.dataset, config, device)
    if goes_on_from is None:
        grid.save(state.G_ema, "fakes_init.png")
    reports = [
        StatusLine(log),
        grid,
        Snapshots(folder, plan.dataset),
        Metrics(folder, plan.dataset, config, device, log, state.nimg),
        StatsFile(folder, state.nimg),
        checkpoints,
    ]
    say_precision(state, log)
    log(f"{'Training' if goes_on_from is None else 'Going on'} in {folder} from kimg {state.nimg / 1000:g} to {config.kimg}")
    augment = make_augment(config, device)
    loader = Loader(plan.dataset, config, state.nimg, device)
    stop = Stop()
    try:
        with stop.listening():
            try:
                done = run_loop(state, config, loader, augment, reports, stop)
            except UserError:  # a picture that cannot be read, a full disk: between two steps, so the state is whole
                with contextlib.suppress(UserError):
                    checkpoints.save(state)
                raise
            if not done:
                checkpoints.save(state)
    finally:
        loader.close()
    if not done:
        log(f"Stopped at kimg {state.nimg / 1000:g}; checkpoint.pkl is written. Go on with: sgtool train --resume {folder}")
        raise SystemExit(128 + stop.signal)
    log(f"Done after {duration(state.elapsed)}. Pictures and snapshots are in {folder}")
    return folder


def say_precision(state, say):
    """Tell in which type is computed, and whether another one is faster here."""
    words, warnings = describe_precision(state.G, state.config.precision, state.device)
    faster = state.device.type == "cpu" and words == "float32" and state.config.num_fp16_res and has_hardware(torch.bfloat16)
    say(f"Computing in {words}" + (" (--precision bf16 is faster on this CPU)" if faster else ""))
    for text in warnings:
        say(f"Warning: {text}")


def set_backend(config, device):
    """Switches of cuDNN; on a CPU, of the memory allocator."""
    torch.backends.cudnn.benchmark = not config.nobench
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.allow_tf32
    if device.type == "cpu":
        keep_freed_memory()


def start_state(plan, say):
    """Make the state: fresh, from a snapshot's networks, or exactly where a checkpoint was written."""
    state = TrainState.fresh(plan.config, plan.device)
    if plan.checkpoint is not None:
        state.load_state_dict(plan.checkpoint["state"])
        written_on = plan.checkpoint["state"]["random"].keys() - {"cpu"} or {"cpu"}
        if plan.device.type not in written_on:
            say(f"The checkpoint was written on {', '.join(written_on)}: on {plan.device.type} it goes on, but not bit for bit.")
        plan.checkpoint = None  # its tensors are not needed twice
    elif plan.source is not None:
        transfer.take_over(plan.source, state)
    return state


def make_augment(config, device):
    """Return the augmentation as a callable (images, p) -> images."""
    if config.aug == "noaug":
        return lambda images, p: images
    return AugmentPipe(**PIPES[config.augpipe]).to(device)


def check_disk(folder, state):
    """Raise UserError unless a snapshot and three checkpoints fit on the disk."""
    sizes = {n: sum(t.numel() * t.element_size() for t in getattr(state, n).state_dict().values()) for n in ("G", "D", "G_ema")}
    need = sum(sizes.values()) * 4 + 2 * 3 * (sizes["G"] + sizes["D"])  # Adam keeps two numbers a weight
    free = shutil.disk_usage(folder).free
    if free < need:
        raise UserError(
            f"{folder}: {free / 1e9:.1f} GB are free, but a snapshot and the checkpoints take {need / 1e9:.1f} GB. "
            "Free some space or choose another --outdir."
        )


def write_options(plan):
    """Write training_options.json: the resolved configuration, with reasons and what was asked for."""
    before = read_options(plan.folder) or {}
    source = before.get("resumed_snapshot") if plan.source is None else str(plan.source.path.absolute())
    values = {
        "sgtool_version": __version__,
        "data": str(Path(plan.data).absolute()),
        "options": plan.given,
        "config": plan.config.as_dict(),
        "reasons": plan.reasons,
        "resumed_snapshot": source,
        "device": str(plan.device),
        "torch_version": torch.__version__,
    }
    write_text(plan.folder / "training_options.json", json.dumps(values, indent=2) + "\n")
