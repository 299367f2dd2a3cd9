"""A training run from its options to its last snapshot."""

import contextlib
import json
import os
from pathlib import Path

import torch

from sgtool import __version__
from sgtool.datasets import open_dataset
from sgtool.distributed import PeerLost, is_joined_from_outside, joined, launched, place_in_job
from sgtool.distributed.world import TIMEOUT
from sgtool.errors import UserError
from sgtool.files import write_text
from sgtool.measuring.rounds import by_the_first
from sgtool.memory import keep_freed_memory
from sgtool.networks import describe_precision, has_hardware
from sgtool.options import torch_device
from sgtool.reporting import Report
from sgtool.training import resume as resuming
from sgtool.training import transfer
from sgtool.training.augment import AugmentPipe
from sgtool.training.best import BestLinks
from sgtool.training.budget import Budget, fit_memory, tell_budget
from sgtool.training.changes import adopt, newest_values
from sgtool.training.collapse import CollapseGuard
from sgtool.training.data import Loader
from sgtool.training.events import Events
from sgtool.training.folders import clear_leftovers, locked, make_run_folder, read_options
from sgtool.training.health import NumbersGuard
from sgtool.training.live import make_control
from sgtool.training.loop import Stop, run_loop
from sgtool.training.memory_now import has_limit
from sgtool.training.pictures import PictureGrid
from sgtool.training.pipes import pipe_of
from sgtool.training.plan import Plan, job_name, make_plan, open_data, print_config, was_restarted
from sgtool.training.protocols import Protocols, check_protocols
from sgtool.training.quality import Metrics
from sgtool.training.reports import Log, StatsFile, StatusLine, duration
from sgtool.training.resolve import Options
from sgtool.training.retention import check_space
from sgtool.training.rollback import Rollback, go_back
from sgtool.training.shortage import Shortage, is_shortage, outside
from sgtool.training.state import TrainState
from sgtool.training.together import kept_together
from sgtool.training.upkeep import Upkeep
from sgtool.training.vitals import Sample
from sgtool.training.watch import DataReplaced
from sgtool.training.writer import copied

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


def run(plan, log, world):
    """Train in plan.folder until the end or a signal, and however it ends, leave a page that shows it."""
    page = Report(plan.folder, say=log) if world.is_first else None
    try:
        return run_to_the_end(plan, log, world, page)
    finally:
        if page is not None:
            page.write()


def run_to_the_end(plan, log, world, page):
    """Train, as often as the run goes back to a checkpoint."""
    folder, goes_on = plan.folder, plan.checkpoint is not None
    set_backend(plan.config, plan.device)
    is_sound = goes_on and plan.checkpoint["name"] == "checkpoint.pkl"
    state = start_state(plan, log, world)
    events = Events(folder if world.is_first else None)
    if world.is_first:
        check_space(folder, state)
        log.attach(folder / "log.txt")
        write_options(plan)
    stop = Stop()
    say_precision(state, log)
    text = f"{'Going on' if goes_on else 'Training'} in {folder} from kimg {state.nimg / 1000:g} to {state.config.kimg}"
    text += f", {world.size} processes" if world.size > 1 else ""
    log(text)
    events(kind_of_start(goes_on), text, state.nimg, processes=world.size)
    with stop.listening():
        fit_memory(plan, state)
        back, is_written = attempt(plan, state, log, stop, events, page, is_sound)
        while back is not None:
            go_back(back, plan, state, log, events)
            state = None  # its memory is needed
            state = start_state(plan, log, world)
            adopt(state, newest_values(state.changes))
            back, is_written = attempt(plan, state, log, stop, events, page, is_sound=False, is_again=True)
    if not (state.done and is_written):
        why = "the disk is full" if state.health.is_sound(state) else "numbers are not finite now"
        kept = "checkpoint.pkl is written" if is_written else f"checkpoint.pkl is an older one, for {why}"
        log(f"Stopped at kimg {state.nimg / 1000:g}; {kept}. Go on with: sgtool train --resume {folder}")
        events(
            "stop",
            "stopped as control.json asked" if stop.signal is None else f"stopped by signal {int(stop.signal)}",
            state.nimg,
        )
        if stop.signal is None and is_written:  # asked for in control.json
            return folder
        raise SystemExit(1 if stop.signal is None else 128 + stop.signal)
    log(f"Done after {duration(state.elapsed)}. Pictures and snapshots are in {folder}")
    events("done", f"done after {duration(state.elapsed)}", state.nimg)
    return folder


def attempt(plan, state, log, stop, events, page, is_sound, is_again=False):
    """Train until the run ends, or is to go back to a checkpoint.

    Returns:
        (`Rollback` or None, whether what was trained is written).
    """
    numbers = NumbersGuard(log, events, plan.folder)
    upkeep, reports = make_reports(plan, state, log, stop, events, page, is_sound, numbers)
    loader = Loader(plan.dataset, state.config, state.nimg, plan.device, state.world)
    augment = make_augment(state.config, plan.device)
    control = make_control(plan.folder, state, log, events, stop, upkeep)
    control.write(state) if is_again else control.begin(state, plan.decided)
    after = [Budget(plan.memory, log, events), control]
    try:
        return None, train_to_the_end(state, loader, augment, reports, stop, upkeep, [numbers.between_steps], after)
    except Rollback as back:
        return back.with_traceback(None), False  # the trace would hold the state
    finally:
        loader.close()
        if upkeep is not None:
            upkeep.close()


def kind_of_start(goes_on):
    """How the run's beginning in this process is called among its events."""
    return "restart" if was_restarted() and goes_on else "resume" if goes_on else "start"


def make_reports(plan, state, log, stop, events, page, is_sound, numbers):
    """Return (`Upkeep`, the list of reports); in processes that write nothing, (None, those in which all take part)."""
    folder, config, device = plan.folder, state.config, plan.device
    collapse = CollapseGuard(folder, config, make_sample(plan, state), log, events)
    if not state.world.is_first:
        protocols = Protocols(folder, config, plan.data, device, log, state.nimg, state.world, stop=stop)
        return None, kept_together([numbers, collapse, protocols], state.world)
    metrics = Metrics(folder, plan.dataset, config, device, log, state.nimg)
    grid = PictureGrid(folder, plan.dataset, config, device)
    if state.nimg == 0:
        grid.save(state.G_ema, "fakes_init.png")
    stats = StatsFile(folder, state.nimg)
    refill = [lambda: write_options(plan), stats.reopen]
    upkeep = Upkeep(plan, state, log, stop, events, is_sound, refill)
    upkeep.out_of_turn = [upkeep.patient(grid), upkeep.snapshots, upkeep.checkpoints]
    reports = [StatusLine(log), numbers, collapse, grid, upkeep.retention, upkeep.snapshots, metrics, stats, upkeep.checkpoints]
    protocols = Protocols(
        folder, config, plan.data, device, log, state.nimg, state.world, stop=stop, writer=upkeep.writer, events=events
    )
    links = upkeep.patient(BestLinks(folder, upkeep.writer))
    reports = [*upkeep.before_all, *(upkeep.patient(report) for report in reports), protocols, links, page]
    return upkeep, kept_together(reports, state.world, upkeep.patience)


def train_to_the_end(state, loader, augment, reports, stop, upkeep, between, after):
    """Train until all pictures have been shown, a signal comes, or something fails; keep what was trained.

    Returns:
        Whether what was trained is written.
    """
    try:
        run_loop(state, loader, augment, reports, stop, between, after)
        # However long it takes: a process that ended before the first one has written would be taken for one that failed.
        return by_the_first(lambda: upkeep.finish(state), world=state.world) or not state.world.is_first
    except (PeerLost, DataReplaced, Shortage):  # in the middle of a step; trained on other data
        raise
    except UserError:  # a picture that cannot be read, for instance: between two steps, so the state is whole
        if upkeep is not None:
            upkeep.rescue(state)
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        raise outside(error) from error


def make_sample(plan, state):
    """Return what the health of the run is measured on, in the first process."""
    if not state.world.is_first:
        return None
    held_out = None if state.config.held_out is None else open_dataset(state.config.held_out)
    return Sample(plan.dataset, held_out, state.config, plan.device)


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
    if device.type == "cpu" and not has_limit():
        keep_freed_memory()


def start_state(plan, say, world):
    """Make the state: fresh, from a snapshot's networks, or exactly where a checkpoint was written; the same in all processes."""
    checkpoint, plan.checkpoint = plan.checkpoint, None  # its tensors are not needed twice
    stored = None if checkpoint is None else checkpoint["state"]
    changes = world.broadcast([] if stored is None else stored.get("changes", []))
    state = TrainState.fresh(plan.config, plan.device, world, changes)
    if stored is not None:
        state.load_state_dict(stored)
        written_on = stored.get("device", plan.device.type)
        if plan.device.type != written_on:
            say(f"The checkpoint was written on {written_on}: on {plan.device.type} it goes on, but not bit for bit.")
        elif "random" in stored:
            say("The checkpoint is of an older version, which drew other random numbers: it goes on, but not bit for bit.")
    elif plan.source is not None:
        transfer.take_over(plan.source, state)
    if world.size > 1:
        values = world.broadcast(copied(state.state_dict()) if world.is_first else None)
        state.load_state_dict(values)
    return state


def make_augment(config, device):
    """Return the augmentation as a callable (images, p, draws) -> images."""
    if config.aug == "noaug":
        return lambda images, p, draws: images
    pipe = AugmentPipe(**pipe_of(config.augpipe)).to(device)
    return lambda images, p, draws: pipe(images, p, draws=draws)


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
        "job": job_name(),
    }
    write_text(plan.folder / "training_options.json", json.dumps(values, indent=2) + "\n")
