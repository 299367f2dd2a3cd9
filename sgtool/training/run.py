"""A training run from its options to its last snapshot: in how many processes, and what it is to be."""

import contextlib
import os

import torch

from sgtool.distributed import is_joined_from_outside, joined, launched, place_in_job
from sgtool.distributed.world import TIMEOUT
from sgtool.errors import UserError
from sgtool.options import torch_device
from sgtool.training import resume as resuming
from sgtool.training.attempts import run
from sgtool.training.budget import tell_budget
from sgtool.training.folders import clear_leftovers, locked, make_run_folder, read_options
from sgtool.training.plan import Plan, make_plan, open_data, print_config
from sgtool.training.protocols import check_protocols
from sgtool.training.reports import Log
from sgtool.training.resolve import Options

FEW = 8  # processes that any machine may be asked for


def train(data=None, outdir=None, resume=None, timeout=TIMEOUT, dry_run=False, **options):
    """Train, or go on training.

    Args:
        data: dataset (zip or folder); None with `resume` of a run = that run's.
        outdir: folder in which the run folder is made.
        resume: run folder or checkpoint to go on with, "auto", or a snapshot for transfer learning:
            a file, a URL or a known name.
        timeout: seconds that one process waits for another before the run ends.
        dry_run: print the configuration and stop.
        options: device ("auto", "cpu", "cuda" or "mps"); desc, text for the end of the run folder's name; offline, to use what
            was downloaded before; and fields of `resolve.Options`, of which None or absent = default.
    Returns:
        The run folder (`Path`), or None for a dry run.
    Raises:
        UserError: something that the user can mend, found before the first step.
        SystemExit: stopped by Ctrl-C or SIGTERM, after a checkpoint was written; code 128 + signal.
    """
    options = {name: value for name, value in options.items() if value is not None}
    options |= {"data": data, "outdir": outdir, "resume": resume, "timeout": timeout, "dry_run": dry_run}
    options["gpus"] = processes(options.get("gpus"), resume)
    if options["gpus"] > 1 and not is_joined_from_outside() and not dry_run:
        check_machine(options["gpus"], torch_device(options.get("device", "auto")).type)
        return launched(options["gpus"], train_in_process, options)
    return train_in_process(options)


def check_machine(gpus, device_type):
    """Raise UserError if this machine is not one for so many processes."""
    if device_type == "mps":
        raise UserError(f"--gpus {gpus}: an Apple GPU works for one process. Leave --gpus out, or use --device cpu.")
    if device_type == "cuda" and gpus > torch.cuda.device_count():
        raise UserError(
            f"--gpus {gpus}: this machine has {torch.cuda.device_count()}. Give at most as many; "
            "for several machines start it with torchrun."
        )
    most = max(os.cpu_count() or 1, FEW)
    if device_type == "cpu" and gpus > most:
        raise UserError(
            f"--gpus {gpus}: this machine has {os.cpu_count()} CPU cores for them. Give at most {most}, or leave it out."
        )


def processes(asked, resume):
    """Return how many processes train: those that torchrun started, as asked, or as the run that is gone on with had."""
    if is_joined_from_outside():
        _, started, _ = place_in_job()
        if asked not in (None, 1, started):
            raise UserError(f"--gpus {asked}: torchrun has started {started} processes. Leave --gpus out there.")
        return started
    if asked is None:
        folder = resuming.folder_of(resume)
        stored = {} if folder is None else (read_options(folder) or {}).get("options", {})
        asked = stored.get("gpus") if isinstance(stored, dict) else None
        asked = asked if isinstance(asked, int) else None
    return 1 if asked is None else asked


def train_in_process(options):
    """Train in this process, one of `options["gpus"]`."""
    given = dict(options)
    named = {
        name: given.pop(name, None) for name in ("data", "outdir", "resume", "timeout", "dry_run", "device", "desc", "offline")
    }
    device = torch_device(named["device"] or "auto")
    with contextlib.ExitStack() as held:
        world = held.enter_context(joined(device.type, named["timeout"]) if not named["dry_run"] else contextlib.nullcontext())
        if world is None and place_in_job()[0] > 0:
            return None  # a dry run of several processes, of which the first one tells
        if world is None or world.is_first:
            log = Log()
            plan = make_plan(
                named["data"], named["outdir"], named["resume"], device.type, named["desc"], given, log, bool(named["offline"])
            )
            check_protocols(plan.config, plan.data, log)
            print_config(plan, log)
            plan.memory = tell_budget(plan, log)
            if world is None:
                log("Dry run: nothing was written.")
                return None
            if is_complete(plan, log):
                plan.config = None
            else:
                plan.folder = plan.folder or make_run_folder(named["outdir"], plan.description)
                plan.held = held.enter_context(locked(plan.folder))
                clear_leftovers(plan.folder)
        else:
            plan, log = None, silent
        plan = shared_plan(plan, world, device)
        return plan.folder if plan.config is None else run(plan, log, world)


def silent(text=""):
    """The log of processes that do not talk."""


def is_complete(plan, say):
    """Whether the run that is to be gone on with has shown all its pictures."""
    if plan.checkpoint is None or plan.checkpoint["state"]["counters"]["nimg"] < plan.now.kimg * 1000:
        return False
    say(f"{plan.folder} is complete: {plan.now.kimg} kimg. To go on, ask for more with --kimg.")
    return True


def shared_plan(plan, world, device):
    """Give every process the first one's plan. Each opens the data itself; the state comes from the first one later."""
    if world.size == 1:
        return plan
    names = ("config", "reasons", "given", "data", "folder")
    values = world.broadcast({name: getattr(plan, name) for name in names} if world.is_first else None)
    if not world.is_first:
        plan = Plan(dataset=None, device=device, **values)
        if plan.config is not None:
            plan.dataset = open_data(plan.data, Options(**plan.given))
            if plan.dataset.fingerprint != plan.config.fingerprint:
                raise UserError(
                    f"{plan.data} on the machine of process {world.rank} holds other pictures than on the first one. "
                    "Copy it there."
                )
    if device.type == "cuda":
        plan.device = torch.device("cuda", world.local_rank)
    return plan
