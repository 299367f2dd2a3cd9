"""Signs that a training comes to nothing: pictures all alike, a D that knows its pictures by heart, gradients out of hand."""

import math
import statistics
import time
from collections import deque
from dataclasses import dataclass

from sgtool.training.rollback import HEALTHY, Rollback
from sgtool.training.saving import keep_as

COLLAPSED = 0.3  # of the reals' variety that is left: below, pictures are all alike
VARIED = 0.6  # above, a checkpoint is one to go back to from a collapse
ALIKE_IN_A_ROW = 3  # measurements
BY_HEART = 0.95  # r_t
BY_HEART_IN_A_ROW = 10  # ticks; with ADA they begin when p has reached its limit
STRANGERS = 0.6  # r_v: D's gap between training and held-out pictures, as a share of that between training pictures and fakes
STRANGERS_IN_A_ROW = 3  # measurements
GROWTH = 100  # gradient norm over its median so far
MEDIAN_OF, MEDIAN_FROM = 50, 10  # ticks that the median is of, and how many it needs
EFFORTLESS = 0.1  # loss of D, which is 1.386 where it cannot tell reals from fakes
EFFORTLESS_IN_A_ROW = 10  # ticks
PAUSE = 50  # ticks until the same is told again
SHARE = 0.01  # of the time, for measuring


@dataclass
class Alarm:
    """A sign that was found.

    Attributes:
        kind: "diversity", "overfitting", "held-out", "gradients" or "loss".
        text: what it means and what to do.
        remedy: of `Rollback`, or None where going back does not help.
        reason: a clause, for `Rollback`.
    """

    kind: str
    text: str
    remedy: str | None = None
    reason: str = ""


@dataclass
class Vitals:
    """What a tick tells of the health of a run; None = not measured.

    Attributes:
        variety: of generated pictures, as a share of the reals': 1 = as varied, 0 = one picture over and over.
        rt: mean sign of D at training pictures since the last tick.
        rv: (D at training pictures - D at held-out ones) / (D at training pictures - D at fakes), means of logits.
        loss_D: mean since the last tick.
        norms: {"G": mean total gradient norm since the last tick, "D": ...}.
        at_limit: whether ADA's p has reached its limit.
    """

    variety: float | None = None
    rt: float | None = None
    rv: float | None = None
    loss_D: float | None = None
    norms: dict | None = None
    at_limit: bool = False


class Signs:
    """Reads the vitals of one tick after the other and raises alarms, each kind at most once in `PAUSE` ticks."""

    def __init__(self, config):
        self.config, self._rows, self._told, self._tick = config, {}, {}, 0
        self._norms = {"G": deque(maxlen=MEDIAN_OF), "D": deque(maxlen=MEDIAN_OF)}

    def read(self, vitals):
        """Take in the `Vitals` of a tick. Returns a list of `Alarm`."""
        self._tick += 1
        found = [rule(vitals) for rule in (self._diversity, self._overfitting, self._held_out, self._gradients, self._loss)]
        alarms = [alarm for alarm in found if alarm is not None and self._is_due(alarm.kind)]
        self._told |= {alarm.kind: self._tick for alarm in alarms}
        return alarms

    def _is_due(self, kind):
        return self._tick - self._told.get(kind, -PAUSE) >= PAUSE

    def _in_a_row(self, kind, value, is_bad):
        """Count how often in a row a value was bad; where there is none the count stays."""
        if value is not None:
            self._rows[kind] = self._rows.get(kind, 0) + 1 if is_bad(value) else 0
        return 0 if value is None else self._rows[kind]

    def _diversity(self, vitals):
        if self._in_a_row("diversity", vitals.variety, lambda v: v < COLLAPSED) < ALIKE_IN_A_ROW:
            return None
        reason = f"the generated pictures are nearly all alike ({vitals.variety:.0%} of the variety of the real ones)"
        text = f"{_sentence(reason)}: G has collapsed. Look at the newest fakes*.png. Going on rarely helps: start again from an "
        text += (
            f"earlier snapshot with half the --glr ({self.config.glr / 2:g}), or twice the --gamma: {_double(self.config.gamma)}."
        )
        return Alarm("diversity", text, "collapse", reason)

    def _overfitting(self, vitals):
        adaptive = self.config.aug == "ada"
        value = vitals.rt if vitals.at_limit or not adaptive else None
        if self._in_a_row("overfitting", value, lambda v: v >= BY_HEART) < BY_HEART_IN_A_ROW:
            return None
        text = f"D is sure of nearly every training picture (r_t {vitals.rt:.2f}): it knows them by heart. "
        if adaptive:
            return Alarm(
                "overfitting", text + f"p is at its limit {self.config.p_max:g}: get more pictures, {self._more_pictures()}."
            )
        return Alarm("overfitting", text + f"Use --aug ada, get more pictures, {self._more_pictures()}.")

    def _more_pictures(self):
        mirror = "" if self.config.mirror else "add --mirror 1 if they may be flipped, "
        return f"{mirror}start from a trained network (--resume), or raise --gamma to {_double(self.config.gamma)}"

    def _held_out(self, vitals):
        if self._in_a_row("held-out", vitals.rv, lambda v: v >= STRANGERS) < STRANGERS_IN_A_ROW:
            return None
        text = f"D takes real pictures that it was not trained on for fakes (r_v {vitals.rv:.2f}): it knows the others by heart. "
        ada = "" if self.config.aug == "ada" else "use --aug ada, "
        return Alarm("held-out", text + f"Stop at the best snapshot so far, or {ada}get more pictures, {self._more_pictures()}.")

    def _gradients(self, vitals):
        alarm = None
        for name, value in (vitals.norms or {}).items():
            before = self._norms[name]
            median = statistics.median(before) if len(before) >= MEDIAN_FROM else 0.0
            if median and value > GROWTH * median:
                reason = f"the gradients of {name} are {value / median:.0f} times as large as usual"
                rates = f"--glr {self.config.glr / 2:g} --dlr {self.config.dlr / 2:g}"
                text = f"{_sentence(reason)}: the training may diverge. Start again from an earlier snapshot with {rates}."
                alarm = Alarm("gradients", text, "gradients", reason)
            before.append(value)
        return alarm

    def _loss(self, vitals):
        if self._in_a_row("loss", vitals.loss_D, lambda v: v < EFFORTLESS) < EFFORTLESS_IN_A_ROW:
            return None
        text = f"D tells reals from fakes without effort (loss {vitals.loss_D:.3f}; 1.386 is where it cannot), so G has nothing "
        text += f"to learn from. Raise --gamma to {_double(self.config.gamma)} or more, or lower --dlr to {self.config.dlr / 2:g}"
        return Alarm("loss", text + (", or use --aug ada." if self.config.aug == "noaug" else "."))


def _sentence(clause):
    return clause[0].upper() + clause[1:]


def _double(gamma):
    return f"{gamma * 2:g}" if gamma else "a value above 0"


class CollapseGuard:
    """Measures at ticks, warns, and where that was asked for sets the run back.

    It is called before checkpoints are written: at the first sign the last one, from before, gets a second name.

    Args:
        folder: the run folder.
        config: `TrainConfig`.
        sample: `Sample`, what is measured on; None in all processes but the first.
        log: prints a line.
        events: callable (kind, text, nimg, **facts).
    """

    everywhere = True  # the first process measures; all go back together

    def __init__(self, folder, config, sample, log, events):
        self.folder, self.sample, self.log, self.events = folder, sample, log, events
        self.signs = Signs(config)
        self._was_varied, self._wait_until = False, -math.inf

    def __call__(self, state, tick):
        alarms = self._look(state, tick) if state.world.is_first else None
        for alarm in state.world.broadcast(alarms):
            if alarm["remedy"] is not None and state.config.on_collapse == "rollback":
                raise Rollback(alarm["reason"], alarm["remedy"])

    def _look(self, state, tick):
        """Measure, warn, and keep a healthy checkpoint. Returns alarms as plain values."""
        self.signs.config = state.config  # may change in a run
        vitals = vitals_of(state, tick)
        if tick.number and state.elapsed >= self._wait_until:
            start = time.perf_counter()
            self.sample.measure(state, vitals, tick.stats)
            self._wait_until = state.elapsed + (time.perf_counter() - start) / SHARE
        self._keep_checkpoint(state, vitals.variety)
        alarms = self.signs.read(vitals)
        for alarm in alarms:
            self.log(f"Warning: {alarm.text}")
            self.events("collapse", alarm.text, state.nimg, sign=alarm.kind)
        return [{"remedy": self._possible(alarm.remedy), "reason": alarm.reason} for alarm in alarms]

    def _possible(self, remedy):
        """The remedy, or None where there is no checkpoint from before."""
        return None if remedy == "collapse" and not (self.folder / HEALTHY).exists() else remedy

    def _keep_checkpoint(self, state, variety):
        """At the first sign of pictures growing alike, keep the checkpoint that is there, written while they were not.

        Not so on the way to where they did before: the one that the run has gone back to is the better one.
        """
        if variety is None:
            return
        current, kept = self.folder / "checkpoint.pkl", self.folder / HEALTHY
        is_retry = kept.exists() and any(state.nimg <= past["nimg"] for past in state.rollbacks)
        if self._was_varied and variety < VARIED and current.exists() and not is_retry:
            keep_as(current, kept)
        self._was_varied = variety >= VARIED


def vitals_of(state, tick):
    """Read `Vitals` from the statistics of a tick; what is not finite counts as not measured."""

    def mean(name):
        value = tick.stats.get(name, {}).get("mean")
        return value if value is not None and math.isfinite(value) else None

    norms = {name: mean(f"Gradients/{name}/norm") for name in ("G", "D")}
    return Vitals(
        rt=mean("Loss/signs/real"),
        loss_D=mean("Loss/D/loss"),
        norms={name: value for name, value in norms.items() if value is not None},
        at_limit=state.ada.at_limit,
    )
