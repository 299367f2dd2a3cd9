"""Published metrics of a run, such as fid50k_full, measured at its snapshots within a share of the time."""

import json
import time
from pathlib import Path

from sgtool.distributed import ALONE
from sgtool.errors import UserError
from sgtool.measuring.during import check_detectors, measure_network, plan_training
from sgtool.measuring.measure import show_pairs
from sgtool.measuring.protocols import parse
from sgtool.measuring.results import line, path_in
from sgtool.measuring.rounds import Interrupted
from sgtool.training.best import note, words
from sgtool.training.lines import Lines, keep_until
from sgtool.training.quality import METRICS
from sgtool.training.reports import duration
from sgtool.training.saving import snapshot_name


def protocol_names(config):
    """Those of a run's metrics that are protocols."""
    return [name for name in config.metrics if name not in METRICS]


def check_protocols(config, data, say):
    """Check before a run starts that its protocols can be measured.

    Args:
        config: `TrainConfig`.
        data: path of the dataset.
        say: called with warnings.
    Raises:
        UserError: one cannot be; the text names what to do.
    """
    if protocol_names(config):
        check_detectors(_plan(config, data, "cpu", say))


def _plan(config, data, device, say):
    return plan_training(
        protocol_names(config), data, config.generator_kwargs(), mirror=config.mirror, held_out=config.held_out, device=device,
        warn=lambda text: say(f"Warning: {text}"), say=say,
    )  # fmt: skip


class Protocols:
    """Measures the protocols of a run with its snapshots: a line in metric-NAME.jsonl as `sgtool metrics` writes it.

    A metric that took T seconds is measured again once training has gone on for T (100 / share - 1) seconds, so that it takes at
    most `--metrics-share` percent of the time; of n metrics each has a share of that. The last snapshot is always measured.
    As a report it stands behind those that write snapshots and checkpoints, and all processes take part.

    Args:
        folder: the run folder.
        config: `TrainConfig`.
        data: path of the dataset.
        device: of the networks.
        log: prints a line.
        nimg: real pictures shown so far.
        world: `World`.
        stop: has `signal`, not None once the run is to stop. None = it never is.
        writer: has `wait()`, which ends when the snapshot is written; None = it is written already.
        events: called with ("metric", text, nimg, ...), or None.
    """

    everywhere = True

    def __init__(self, folder, config, data, device, log, nimg=0, world=ALONE, *, stop=None, writer=None, events=None):
        self.folder, self.log, self.names = Path(folder), log, protocol_names(config)
        self._stop, self._writer, self._events = stop, writer, events
        self._last, self._files, self._known = {}, {}, []
        if not self.names:
            return
        self._plan = _plan(config, data, device, lambda text: None)
        for name in self.names if world.is_first else ():
            self._remember(name, nimg)

    def _remember(self, name, nimg):
        """Go on with the file of a protocol, as far as the run had got."""
        path = path_in(self.folder, parse(name))
        keep_until(path, nimg)
        self._files[name] = Lines(path)
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            values = json.loads(text)
            if isinstance(values.get("results"), dict) and isinstance(values.get("snapshot_pkl"), str):
                self._known.append((values["results"], values["nimg"], values["snapshot_pkl"]))
            if all(isinstance(values.get(key), (int, float)) for key in ("total_time", "training_time")):
                self._last[name] = values["total_time"], values["training_time"]

    def __call__(self, state, tick):
        if not self.names or not tick.is_snapshot:
            return
        for results, nimg, snapshot in self._known:  # what was found since the checkpoint that the run goes on from
            if nimg <= state.nimg:
                note(state.best, results, nimg, snapshot)
        due = state.world.broadcast(self._due(state, tick) if state.world.is_first else None)
        if due:
            self._measure(state, due)

    def _due(self, state, tick):
        """Names of what is measured now; tells what is not, and why."""
        due = []
        for name in self.names:
            took, at = self._last.get(name, (0.0, 0.0))
            between, since = self._between(state.config, took), state.elapsed - at
            if tick.done or name not in self._last or since >= between:
                due.append(name)
            else:
                self.log(
                    f"{name} is not measured at kimg {state.nimg / 1000:g}: it took {duration(took)}, and with --metrics-share "
                    f"{state.config.metrics_share:g} it waits for {duration(between)} of training; so far {duration(since)}"
                )
        return due

    def _between(self, config, took):
        """Seconds of training after a measurement of `took` seconds."""
        return took * (100 * len(self.names) / config.metrics_share - 1)

    def _measure(self, state, due):
        path, start = self.folder / snapshot_name(state), time.perf_counter()
        if self._writer is not None and state.world.is_first:
            self._writer.wait()
        self.log(f"Measuring {', '.join(due)} at kimg {state.nimg / 1000:g}")
        try:
            found, plan = measure_network(
                self._plan, due, state.G_ema, path, precision=state.config.precision, nimg=state.nimg, world=state.world,
                stop=None if self._stop is None else lambda: self._stop.signal is not None, warn=self.log,
            )  # fmt: skip
        except Interrupted:
            self.log(f"Measuring was stopped after {duration(time.perf_counter() - start)}, without a result")
            return
        except UserError as error:
            self.log(f"Warning: {', '.join(due)} could not be measured at kimg {state.nimg / 1000:g}: {error.message}")
            self._last |= dict.fromkeys(due, (time.perf_counter() - start, state.elapsed))
            return
        for result in found:
            self._keep(state, plan, result)

    def _keep(self, state, plan, result):
        name, snapshot, values = result.protocol.name, snapshot_name(state), result.measured.values
        self._last[name] = result.seconds, state.elapsed
        self._known.append((values, state.nimg, snapshot))
        self._files[name].add(line(result, snapshot, state.world.size, nimg=state.nimg, training_time=state.elapsed))
        better = note(state.best, values, state.nimg, snapshot)
        text = ", ".join(f"{key} {value:.5g}{words(state.best, key, better)}" for key, value in values.items())
        again = "" if state.done else f"; again after {duration(self._between(state.config, result.seconds))} of training"
        self.log(f"{text}   (took {duration(result.seconds)}{again})")
        if self._events is not None:
            self._events("metric", text, state.nimg, seconds=result.seconds, results=values)
        try:
            show_pairs(self.folder, plan, result)
        except UserError as error:
            self.log(f"Warning: {error.message}")
