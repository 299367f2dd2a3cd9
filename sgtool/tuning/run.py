"""A ladder from its settings to the command line that it ends with."""

import os
from pathlib import Path

import click

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.options import torch_device
from sgtool.training.config import TrainConfig
from sgtool.training.folders import locked, read_options
from sgtool.training.reports import duration
from sgtool.training.resolve import Options, check_options, resolve
from sgtool.training.resume import first_difference, folder_of
from sgtool.tuning import ladder, show
from sgtool.tuning.climb import climb
from sgtool.tuning.judge import Judge
from sgtool.tuning.outcome import RULE, choose
from sgtool.tuning.record import Record

OF_A_RUNG = {"gamma", "glr", "dlr"}  # in which rungs may differ
TICKS = 8  # of a rung, at least
SNAP = 4  # ticks between checkpoints of a rung, if nothing is said


def tune(data, outdir, train, passed, words=(), gammas=None, around=None, rates=None, kimg=None, dry_run=False, say=click.echo):
    """Train a short run for each gamma and learning rate, one after another, and say which to go on with.

    Args:
        data: dataset, zip or folder.
        outdir: folder of the ladder; the same call goes on with one that was stopped.
        train: callable that trains or goes on training, with the options of `training.run.train`.
        passed: {option: value} for all trainings; None = default.
        words: `passed` as typed, for the line at the end.
        gammas: list of weights of R1; None = three around `around`.
        around: the middle one of them, or None for the one that training takes by default.
        rates: list of learning rates of G, or None for the default one. D's is `passed["dlr"]`, else the same.
        kimg: length of a rung in thousands of pictures, None = a hundredth of the preset's.
        dry_run: tell what would be trained, and stop.
        say: callable that tells a line.
    Returns:
        {"chosen": `Outcome`, "command": str, "outcomes": [`Outcome`, ...]}, or None for a dry run.
    Raises:
        UserError: something that the user can mend, or no rung has come through.
        SystemExit: stopped; the same call goes on.
    """
    check(passed)
    given = {name: value for name, value in passed.items() if value is not None}
    options, dataset = options_of(given), open_data(data, given)
    middle = resolve(options, dataset)[0].gamma if around is None else around
    rungs = ladder.rungs(gammas or ladder.gammas_around(middle), rates, given.get("dlr"))
    kimg = kimg or ladder.default_kimg(options.cfg)
    given = reporting(given, kimg)
    for rung in rungs:
        check_options(options_of(given | rung.options | {"kimg": kimg}))
    say(f"A ladder of {len(rungs)} rungs of {kimg} kimg each: " + "; ".join(rung.words for rung in rungs))
    if dry_run:
        train(data=data, outdir=str(Path(outdir) / rungs[0].name), kimg=kimg, dry_run=True, **given | rungs[0].options)
        return None
    outdir = make_folder(outdir, "--outdir")
    with locked(outdir):
        record = Record.opened(outdir, data, given)
        judge = Judge(dataset, torch_device(given.get("device", "auto")), options.cond, options.seed)
        climb_or_say(rungs, kimg, outdir, record, train, {"data": str(data)} | given, judge, say)
        return conclude(rungs, outdir, record, judge, data, words, say)


def climb_or_say(rungs, kimg, outdir, record, train, options, judge, say):
    """Train and judge the rungs; if they are stopped, say how to go on."""
    try:
        climb(rungs, kimg, outdir, record, train, options, judge, say)
    except SystemExit:
        say(f"The ladder is stopped. The same line, with --outdir {outdir}, goes on with it.")
        raise


def check(passed):
    """Raise UserError for options of `train` that make no sense in a ladder."""
    if passed.get("gamma") is not None:
        raise UserError("--gamma: a ladder tries several. Write --gammas 0.5,2, or for a single one sgtool train --gamma.")
    resume = passed.get("resume")
    if resume == "auto" or folder_of(resume) is not None:
        raise UserError(
            f"--resume {resume}: a ladder that was stopped goes on by the same line. To start all rungs from trained networks, "
            "name a snapshot, such as network-snapshot-001000.pkl."
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("sgtool tune is one process that starts others: leave torchrun out, and use --gpus N.")


def options_of(given):
    """Return `Options` of what is passed to a training."""
    transfer = given.get("resume") not in (None, "noresume")
    return Options(**{k: v for k, v in given.items() if k in Options.__dataclass_fields__} | {"transfer": transfer})


def open_data(data, given):
    """Open the dataset with the choice of pictures of the trainings."""
    options, dataset = options_of(given), open_dataset(data)
    if options.subset is not None:
        dataset = dataset.subset(options.subset, options.seed)
    return dataset.mirrored() if options.mirror else dataset


def reporting(given, kimg):
    """Add how often a rung reports, and that it ends, not changes its settings, when something goes wrong."""
    ticks = {"tick": min(4.0, kimg / TICKS), "snap": SNAP} if "tick" not in given else {}
    guards = {name: "stop" for name in ("on_nan",) if name in Options.__dataclass_fields__}
    return ticks | guards | given


def conclude(rungs, outdir, record, judge, data, words, say):
    """Write table, picture and tune.json, and tell what is chosen."""
    outcomes = [record.outcomes[rung.name] for rung in rungs]
    check_alike(outcomes, outdir)
    chosen = choose(outcomes, judge.msssim_reals)
    lines = show.table(outcomes, chosen, judge.msssim_reals)
    time = duration(sum(outcome.seconds for outcome in outcomes))
    for line in ["", *lines, f"{judge.count} pictures a rung; {time} of training", "", f"Chosen is {RULE}"]:
        say(line)
    picture = pictures_of(outcomes, chosen, outdir, judge)
    say(f"Pictures of all rungs, of the same latents: {picture}")
    if chosen is None:
        record.save(table=lines, chosen=None, command=None)
        raise UserError(
            "No rung has come through, so none is chosen. Try larger --gammas or smaller --glr, and look at the data with: "
            "sgtool prepare --check"
        )
    rung = next(rung for rung in rungs if rung.name == chosen.rung)
    command = show.command_line(data, words, rung.options)
    record.save(table=lines, chosen=chosen.rung, command=command, msssim_reals=judge.msssim_reals, count=judge.count)
    say(f"Chosen: {rung.words}. Train with:\n  {command}")
    say(f"Or go on where the rung has ended:\n  sgtool train --resume {chosen.folder} --kimg {int(chosen.kimg) * 10}")
    return {"chosen": chosen, "command": command, "outcomes": outcomes}


def pictures_of(outcomes, chosen, outdir, judge):
    """Write tune.png, with the rungs that have a snapshot; return its path."""
    rows = {}
    for outcome in outcomes:
        folder = Path(outcome.folder)
        if any(folder.glob("network-snapshot-*.pkl")):
            label = f"{outcome.rung} swd {outcome.swd:.0f}" + (" *" if outcome is chosen else "")
            rows[label] = lambda folder=folder: snapshots.load(folder).G_ema
    return show.write_picture(outdir, judge, rows, {"program": "sgtool tune", "rungs": list(rows)})


def check_alike(outcomes, outdir):
    """Raise UserError if rungs were trained on other data or with other settings than those that a ladder changes."""
    configs = []
    for outcome in (outcome for outcome in outcomes if outcome.fault is None):
        values = (read_options(outcome.folder) or {}).get("config")
        if isinstance(values, dict) and TrainConfig.knows(values):
            configs.append((outcome.rung, TrainConfig.from_dict({**values, **dict.fromkeys(OF_A_RUNG, 0.0)})))
    for name, config in configs[1:]:
        field = first_difference(configs[0][1], config)
        if field is not None:
            raise UserError(
                f"--outdir {outdir}: {configs[0][0]} and {name} differ in {field}, so that they cannot be compared. "
                "Run the ladder anew in another folder."
            )
