"""From a plan to its results: both sets are looked at once, then each protocol is computed."""

import time
import warnings
from dataclasses import dataclass

from sgtool.distributed import ALONE, World
from sgtool.errors import UserError
from sgtool.measuring import detector as detectors
from sgtool.measuring import results
from sgtool.measuring.compute import METRICS, averaged, compute
from sgtool.measuring.features import Need, gather
from sgtool.measuring.own_detectors import open_own
from sgtool.measuring.paths import measured_paths
from sgtool.measuring.plan import Plan
from sgtool.measuring.record import record
from sgtool.measuring.rounds import by_the_first


def open_detectors(plan, spec=None, *, offline=False, say=lambda text: None):
    """Return {kind: Detector} of a plan: the user's own, where `spec` names one, stands for all kinds of features."""
    kinds = dict.fromkeys(protocol.detector for protocol in plan.protocols if protocol.detector is not None)
    own = None
    if spec is not None:
        own = open_own(spec, plan.shape, plan.device, offline=offline, say=say)
    eyes = {}
    for kind in kinds:
        if own is not None and kind != "lpips":
            eyes[kind] = own
        else:
            eyes[kind] = detectors.load(kind, plan.weights[kind], plan.shape[0], plan.device)
    for note in dict.fromkeys(eye.note for eye in eyes.values()):
        say(note)
    return eyes


@dataclass
class Work:
    """A plan, what looks at its pictures, and how it is gone about.

    Attributes:
        plan: `Plan`.
        eyes: {kind: `Detector`}, from `open_detectors`.
        world, stop: as for `rounds.in_rounds`.
        progress: show bars.
        warn: called with texts.
    """

    plan: Plan
    eyes: dict
    world: World = ALONE
    stop: object = None
    progress: bool = False
    warn: object = warnings.warn

    def results(self):
        """Measure: a `results.Result` of each protocol; in other processes than the first an empty list.

        Raises:
            UserError, Interrupted: as `features.gather`.
        """
        plan, seconds = self.plan, dict.fromkeys((protocol.name for protocol in self.plan.protocols), 0.0)
        start = time.perf_counter()
        reals = {mirror: self._gathered("real", source, mirror) for mirror, source in plan.real.items()}
        held_out = self._held_out()
        looking, repeats = time.perf_counter() - start, []
        for repeat in range(plan.repeats):
            start = time.perf_counter()
            fake = plan.fake(repeat)
            fakes = self._gathered("fake", fake)
            looking += time.perf_counter() - start
            parts = []
            for protocol in plan.protocols:
                start = time.perf_counter()
                parts.append(self._one(protocol, reals, fakes, fake, held_out, plan.seed + repeat))
                seconds[protocol.name] += time.perf_counter() - start
            repeats.append(parts)
        if not self.world.is_first:
            return []
        return [self._result(protocol, list(parts), seconds[protocol.name] + looking) for protocol, parts in
                zip(plan.protocols, zip(*repeats, strict=True), strict=True)]  # fmt: skip

    def _result(self, protocol, parts, seconds):
        each = [part.values for part in parts] if len(parts) > 1 else []
        about = record(self.plan, protocol, self.eyes.get(protocol.detector))
        return results.Result(protocol, averaged(parts), each, seconds, about)

    def _one(self, protocol, reals, fakes, fake, held_out, seed):
        if protocol.metric == "ppl":
            return measured_paths(
                protocol, fake, self.eyes["lpips"], seed=seed, progress=self.progress, world=self.world, stop=self.stop
            )

        def computed():
            real = None
            if protocol.real != 0:
                real = reals[self.plan.mirrored(protocol)][self._need(protocol, "real").key]
            try:
                return compute(protocol, real, fakes[self._need(protocol, "fake").key], seed=seed, held_out=held_out)
            except ValueError as error:
                raise UserError(f"{protocol.name}: {error}") from error

        return by_the_first(computed, world=self.world, stop=self.stop)

    def _need(self, protocol, side):
        """What a protocol asks of the real or the generated pictures."""
        eye = None if protocol.detector is None else self.eyes[protocol.detector]
        count = protocol.count if side == "fake" else self.plan.real_count(protocol)
        return Need(METRICS[protocol.metric].kind, eye, protocol.choice, count)

    def _gathered(self, side, source, mirror=None):
        needs = [
            self._need(protocol, side)
            for protocol in self.plan.protocols
            if protocol.metric != "ppl" and (side == "fake" or (protocol.real != 0 and self.plan.mirrored(protocol) == mirror))
        ]
        return self._looked(source, needs, "real pictures" if side == "real" else "pictures") if needs else {}

    def _held_out(self):
        """Return the rows of pictures held out of training; None if there are none, or nobody asks."""
        source = self.plan.held_out
        wanted = next((protocol for protocol in self.plan.protocols if protocol.metric == "memorization"), None)
        if source is None or wanted is None:
            return None
        need = Need("rows", self.eyes[wanted.detector], "first", source.number)
        return self._looked(source, [need], "held out").get(need.key)

    def _looked(self, source, needs, what):
        return gather(
            source, needs, seed=self.plan.seed, cached=source.key is not None, progress=self.progress, what=what,
            device=self.plan.device, world=self.world, stop=self.stop, warn=self.warn,
        )  # fmt: skip
