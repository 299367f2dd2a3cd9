"""What the wishes of control.json do in a run."""

from sgtool.measuring.rounds import by_the_first
from sgtool.training.control import Control
from sgtool.training.loop import Tick


def make_control(folder, state, log, events, stop, upkeep):
    """Return the `Control` of a run.

    Args:
        folder: the run folder.
        state: `TrainState`.
        log: prints a line.
        events: `Events`.
        stop: `Stop`.
        upkeep: `Upkeep`; None in processes that write nothing.
    """

    def save(state):
        by_the_first(lambda: upkeep.patience(lambda: upkeep.checkpoints.save(state)), world=state.world)

    def snapshot(state):
        by_the_first(lambda: write_all(state), world=state.world)

    def write_all(state):
        tick = Tick(state.tick, {}, 0, 0.0, 0.0, {}, is_snapshot=True, done=False)
        for report in upkeep.out_of_turn:
            report(state, tick)

    return Control(folder, log, events, state.world, save, snapshot, stop.ask)
