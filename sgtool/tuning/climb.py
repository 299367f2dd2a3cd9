"""The rungs of a ladder are trained one after another, and each is judged when it is done."""

import math

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.training.folders import read_options, run_folders
from sgtool.tuning.outcome import Outcome, why_lost
from sgtool.tuning.record import lines_of
from sgtool.tuning.watch import Watch

AT_THE_START = ("grow", "desc", "resume")  # options that a run takes when it begins, and keeps
LAST = 4  # losses are means over the last quarter of the ticks
CHANGED = {"rollback": "went back and on with other settings", "change": "had its settings changed by hand"}


def climb(rungs, kimg, outdir, record, train, options, judge, say):
    """Train and judge each rung that is not done.

    Args:
        rungs: list of `Rung`.
        kimg: length of each, thousands of pictures.
        outdir: folder of the ladder.
        record: `Record`; knows what is done, and is told.
        train: callable, see `run.tune`.
        options: of all trainings.
        judge: `Judge`.
        say: callable that tells a line.
    """
    longer = next((done for done in record.outcomes.values() if done.kimg > kimg), None)
    if longer is not None:
        raise UserError(f"--kimg {kimg}: the rung {longer.rung} was trained for {longer.kimg:g} kimg. Give as much, or more.")
    watch = Watch(len(rungs), kimg)
    for number, rung in enumerate(rungs, 1):
        done = record.outcomes.get(rung.name)
        if done is not None and (done.kimg == kimg or done.fault is not None):
            say(f"Rung {number} of {len(rungs)}: {rung.words} is done.")
        else:
            say(f"\nRung {number} of {len(rungs)}: {rung.words}. {watch.line() if watch.rate else ''}".rstrip())
            record.begin(rung.name)
            fault = train_rung(rung, kimg, outdir / rung.name, train, options, watch)
            outcome = judged(rung, kimg, newest_run(outdir / rung.name), judge, fault)
            record.finish(outcome)
            lost = why_lost(outcome, judge.msssim_reals)
            words = f"swd {outcome.swd:.1f}, msssim {outcome.msssim:.3f}" + (f"; {lost}" if lost else "")
            say(f"Rung {number} of {len(rungs)} done: {words}")
        watch.done += 1


def newest_run(folder):
    """Return the newest run folder of a rung, None if there is none."""
    return next(iter(run_folders(folder)), None)


def train_rung(rung, kimg, folder, train, options, watch):
    """Train a rung, or go on with it. Returns why it ended before its time, or None."""
    before = next((run for run in run_folders(folder) if (run / "checkpoint.pkl").exists()), None)
    start = {"outdir": str(folder), **options}
    if before is not None:
        start = {k: v for k, v in start.items() if k not in (*AT_THE_START, "outdir")} | {"resume": str(before)}
    try:
        with watch.watching(lambda: newest_run(folder)):
            train(**start | rung.options | {"kimg": kimg})
    except UserError as error:
        fault = ended_by(newest_run(folder), error)
        if fault is None:
            raise
        return fault
    return None


def ended_by(run, error):
    """Return the fault of the training itself that `error` tells of, from the run's events; None if it is something else."""
    events = [] if run is None else lines_of(run / "events.jsonl")
    faults = [str(event.get("text")) for event in events if event.get("kind") == "fault" and "layers" in event]
    return next((text for text in faults if text in error.message), None)


def judged(rung, kimg, run, judge, fault):
    """Return the `Outcome` of a rung whose training has ended."""
    config = (read_options(run) or {}).get("config") or {}
    rates = {name: rung.options.get(name, config.get(name, math.nan)) for name in ("glr", "dlr")}
    ticks = lines_of(run / "stats.jsonl")
    last = ticks[-1] if ticks else {}
    found = {}
    if any(run.glob("network-snapshot-*.pkl")):
        found = judge(snapshots.load(run).G_ema)
    return Outcome(
        rung=rung.name,
        gamma=rung.gamma,
        **rates,
        kimg=kimg,
        folder=str(run),
        **found,
        p=_mean(last, "Progress/augment", 0.0),
        rt=_mean(last, "Progress/rt", None),
        loss_G=_late(ticks, "Loss/G/loss"),
        loss_D=_late(ticks, "Loss/D/loss"),
        skipped=int(_mean(last, "Progress/skipped_steps", 0)),
        seconds=_mean(last, "Timing/total_sec", 0.0),
        fault=fault or changed(run),
    )


def changed(run):
    """Return that and where the settings of a run were changed on the way, so that it cannot be compared; else None."""
    event = next((event for event in lines_of(run / "events.jsonl") if event.get("kind") in CHANGED), None)
    return None if event is None else f"{CHANGED[event['kind']]} at kimg {event.get('nimg', 0) / 1000:g}"


def _mean(line, name, default):
    value = line.get(name, {}).get("mean")
    return default if value is None else value


def _late(ticks, name):
    """Mean over the last quarter of the ticks, each counting as often as it has values; nan if there are none."""
    values = [tick[name] for tick in ticks[-max(len(ticks) // LAST, 1) :] if name in tick and tick[name]["mean"] is not None]
    count = sum(value["num"] for value in values)
    return sum(value["mean"] * value["num"] for value in values) / count if count else math.nan
