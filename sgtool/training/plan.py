"""What a run is to be: everything that can be checked is, before the first step."""

import dataclasses
import json
import os
import re
from pathlib import Path

import torch

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.options import torch_device
from sgtool.training import resume as resuming
from sgtool.training import transfer
from sgtool.training.changes import describe as describe_change
from sgtool.training.changes import newest_values, with_options
from sgtool.training.config import TrainConfig
from sgtool.training.folders import describe
from sgtool.training.pipes import recolours
from sgtool.training.quality import check_metrics
from sgtool.training.resolve import Options, check_options, resolve
from sgtool.training.vitals import check_held_out


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
        held: `folders.Held`, the run folder while it is trained in; in the first process.
        decided: fields in which the command line that goes on with a run differs from the one before.
        memory: `MemoryPlan`; in the first process.
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
    held: object | None = None
    decided: tuple = ()
    memory: object | None = None

    @property
    def now(self):
        """The configuration with what was changed since the run was started."""
        changes = () if self.checkpoint is None else self.checkpoint["state"].get("changes", ())
        return dataclasses.replace(self.config, **newest_values(changes))

    def go_on_from(self, folder, checkpoint, stored):
        """Let the plan be one to go on with a run: changes made in it hold, but for what the command line says anew.

        Args:
            folder: the run folder.
            checkpoint: its contents.
            stored: `TrainConfig` in it.
        """
        state = checkpoint["state"]
        self.decided = tuple(name for name in resuming.MAY_CHANGE if getattr(stored, name) != getattr(self.config, name))
        state["changes"] = with_options(state.get("changes", ()), stored, self.config, self.decided, state["counters"]["nimg"])
        self.folder, self.checkpoint = folder, checkpoint


def make_plan(data, outdir, resume, device, desc, given, say, offline=False):
    """Check everything that can be checked before the first step and decide where to start.

    Args:
        data, outdir, resume, device, desc, offline: as for `run.train`.
        given: fields of `resolve.Options`.
        say: prints a line.
    Returns:
        `Plan`.
    """
    device = torch_device(device)
    if "held_out" in given:
        given = given | {"held_out": os.path.abspath(given["held_out"])}
    if "metrics" in given:
        given = given | {"metrics": check_metrics(given["metrics"])}
    if desc is not None and not re.fullmatch(r"[^/\\\0]{1,100}", desc):
        raise UserError(f"--desc {desc[:40]}: it becomes part of a folder's name. Write at most 100 characters, no slash.")
    folder = resuming.folder_of(resume)
    if folder is None and outdir is None:
        raise UserError("--outdir is missing: name the folder in which the run's folder is to be made.")
    if given.get("grow") and (folder is not None or resume in (None, "noresume", "auto")):
        raise UserError("--grow: it copies what fits from trained networks into a new run. Name a snapshot of them by --resume.")
    if folder is not None:
        return plan_to_go_on(folder, data, resume, device, given, say)
    if data is None:
        raise UserError("--data is missing: name a dataset (zip or folder) made by sgtool prepare.")
    if resume in (None, "noresume", "auto"):
        dataset = open_data(data, Options(**given))
        config, reasons = configure(Options(**given), dataset)
        plan = Plan(config, reasons, given, data, dataset, device)
    else:
        plan = plan_transfer(data, resume, device, given | {"transfer": True}, say, offline)
    if resume == "auto" or was_restarted():
        found, checkpoint = resuming.newest_agreeing(outdir, plan.config, say, None if resume == "auto" else job_name())
        if found is not None:
            plan.go_on_from(found, checkpoint, TrainConfig.from_dict(checkpoint["config"]))
    plan.description = describe(Options(**plan.given), plan.given, plan.dataset) + (f"-{desc}" if desc else "")
    return plan


def job_name():
    """What torchrun calls the job that this process belongs to (--rdzv-id); None without it."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def was_restarted():
    """Whether torchrun started this process again after a failure: the run that failed is the one to go on with."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") not in ("", "0")


def plan_to_go_on(folder, data, resume, device, given, say):
    """Plan to go on with a run, as it was configured."""
    checkpoint = resuming.read_checkpoint(resume, say)
    stored = resuming.stored_config(folder, checkpoint)
    given = checkpoint["options"] | given
    data = data or checkpoint["data"]
    options = Options(**given)
    if options.mbstd_group is None:  # its default depends on the number of processes, and may not change with it
        options = dataclasses.replace(options, mbstd_group=stored.mbstd_group)
    dataset = open_data(data, options)
    config, reasons = configure(options, dataset, stored.networks)
    config = resuming.agree(folder, stored, dataclasses.replace(config, source=stored.source))
    plan = Plan(config, reasons, given, data, dataset, device)
    plan.go_on_from(folder, checkpoint, stored)
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
    if dataset.channels not in (1, 3, 4) and config.aug != "noaug" and recolours(config.augpipe):
        raise UserError(
            f"--augpipe {config.augpipe}: colour transforms know pictures of 1, 3 or 4 channels, not {dataset.channels}. "
            "Choose --augpipe bg, or --aug noaug."
        )
    if config.held_out is not None:
        check_held_out(open_dataset(config.held_out), dataset, config)
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
    for note in () if plan.checkpoint is None else plan.checkpoint["state"]["changes"]:
        say(f"Changed since: {describe_change(note)}")
