"""Training in a run folder: attempts, each until the end, a signal, or a step back to a checkpoint."""

from sgtool.datasets import open_dataset
from sgtool.distributed import PeerLost
from sgtool.errors import UserError
from sgtool.measuring.rounds import by_the_first
from sgtool.reporting import Report
from sgtool.training.beginning import make_augment, say_precision, set_backend, start_state, write_options
from sgtool.training.best import BestLinks
from sgtool.training.budget import Budget, fit_memory
from sgtool.training.changes import adopt, newest_values
from sgtool.training.collapse import CollapseGuard
from sgtool.training.data import Loader
from sgtool.training.events import Events
from sgtool.training.health import NumbersGuard
from sgtool.training.live import make_control
from sgtool.training.loop import Stop, run_loop
from sgtool.training.pictures import PictureGrid
from sgtool.training.plan import was_restarted
from sgtool.training.protocols import Protocols
from sgtool.training.quality import Metrics
from sgtool.training.reports import StatsFile, StatusLine, duration
from sgtool.training.retention import check_space
from sgtool.training.rollback import Rollback, go_back
from sgtool.training.shortage import Shortage, is_shortage, outside
from sgtool.training.together import kept_together
from sgtool.training.upkeep import Upkeep
from sgtool.training.vitals import Sample
from sgtool.training.watch import DataReplaced


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
