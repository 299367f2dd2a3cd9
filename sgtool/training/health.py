"""Numbers that are no longer finite: counted layer by layer, told, and a run that they have taken over is ended or set back."""

import math
from collections import deque

import torch

from sgtool.errors import UserError
from sgtool.training.rollback import Rollback

WINDOW = 10  # the last optimizer steps of a network that are looked at
STREAK = 8  # so many of them left out: the network does not come back by itself
UNSETTLED = 3  # so many of them left out: a checkpoint of this moment may be one of a run that is already lost
NAMED = 3  # layers that a line names


class Health:
    """Watches the gradients of each phase, at the price of the one wait for the device that checking them takes anyway.

    A step whose gradients are not all finite is left out, and each parameter it concerns is counted. Half precision
    overflows now and then, and such a step leaves no trace; only many in a short time are a streak.

    Args:
        networks: {"G": G, "D": D}.

    Attributes:
        counts: {"D.b8.conv1.weight": steps with a gradient that was not finite, "loss of Gmain": ...}, over the run.
        is_news: whether the first of all was counted since `take_news`.
    """

    def __init__(self, networks):
        self._parameters = {
            name: [(f"{name}.{parameter}", tensor) for parameter, tensor in network.named_parameters()]
            for name, network in networks.items()
        }
        self._left_out = {name: deque(maxlen=WINDOW) for name in networks}  # of the last optimizer steps
        self.counts, self.is_news = {}, False

    def seen(self, name, meter, phase="", losses=()):
        """Look at the gradients of one phase, after they were accumulated and averaged over the processes.

        Args:
            name: "G" or "D", the network that the phase trains.
            meter: `Meter`; gets "Gradients/<name>/norm", the total norm before the optimizer, where it is finite.
            phase: name of the phase, for its loss.
            losses: scalar tensors, one for each part of the batch.
        Returns:
            Whether all gradients are finite, so that the optimizer step may be done.
        """
        named = [(key, tensor.grad) for key, tensor in self._parameters[name] if tensor.grad is not None]
        scalars = [loss.detach().float().reshape([]) for loss in losses]
        norms = list(torch._foreach_norm([gradient for _, gradient in named])) if named else []
        numbers = torch.stack(norms + scalars).tolist() if norms or scalars else []  # the one wait
        norms, scalars = numbers[: len(norms)], numbers[len(norms) :]
        bad = [key for (key, _), norm in zip(named, norms, strict=True) if not math.isfinite(norm)]
        if bad:
            bad = [key for key, gradient in named if key in set(bad) and not bool(gradient.isfinite().all())]
        self._count(bad + [f"loss of {phase}"] * (not all(map(math.isfinite, scalars))))
        self._left_out[name].append(bool(bad))
        total = math.hypot(*norms)
        if math.isfinite(total):
            meter.add(f"Gradients/{name}/norm", total)
        return not bad

    def _count(self, names):
        self.is_news |= bool(names) and not self.counts
        for name in names:
            self.counts[name] = self.counts.get(name, 0) + 1

    @property
    def streak(self):
        """Name of a network that leaves out nearly every step, or None."""
        return next((name for name, steps in self._left_out.items() if sum(steps) >= STREAK), None)

    @property
    def is_unsettled(self):
        """Whether so many of the last steps were left out that this moment is none to go back to."""
        return any(sum(steps) >= UNSETTLED for steps in self._left_out.values())

    def is_sound(self, state):
        """Whether a checkpoint of this moment is one to go on from: all numbers finite, and no streak on."""
        return not self.is_unsettled and not not_finite(state)

    def words(self):
        """The counts, largest first: "D.b8.conv1.weight: 3, D.b8.conv0.weight: 2 and 4 more"; empty if there are none."""
        ordered = sorted(self.counts, key=self.counts.get, reverse=True)
        more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
        return ", ".join(f"{name}: {self.counts[name]}" for name in ordered[:NAMED]) + more

    def take_news(self):
        """Whether there is something to tell that was not told, once."""
        news, self.is_news = self.is_news, False
        return news

    def state_dict(self):
        """Give the counts and the last steps as plain values."""
        steps = {name: [bool(one) for one in steps] for name, steps in self._left_out.items()}
        return {"counts": dict(self.counts), "left_out": steps}

    def load_state_dict(self, values):
        """Go on where `state_dict` was called; with {}, of an older version, from nothing."""
        self.counts = dict(values.get("counts", {}))
        for name, steps in values.get("left_out", {}).items():
            self._left_out[name] = deque(steps, maxlen=WINDOW)


def not_finite(state):
    """List what of a training state holds numbers that are not finite: weights, buffers, averages, optimizers, pl_mean.

    One pass over all of it and one wait for the device; only where something is wrong each tensor is asked.

    Args:
        state: `TrainState`.
    Returns:
        Names: "G_ema.synthesis.b8.conv1.weight", "D.b8.conv0.weight (exp_avg of its optimizer)", "pl_mean".
    """
    named = [(name, tensor) for name, tensor in _numbers(state) if tensor.is_floating_point() and tensor.numel()]
    norms = torch._foreach_norm([tensor for _, tensor in named])
    if bool(torch.stack(norms).sum().isfinite()):
        return []
    return [name for name, tensor in named if not bool(tensor.isfinite().all())]


def _numbers(state):
    yield "pl_mean", state.pl_mean
    for name in ("G", "D", "G_ema"):
        for key, tensor in getattr(state, name).state_dict().items():
            yield f"{name}.{key}", tensor
    for name in ("G", "D"):
        kept = getattr(state, f"opt_{name}").state
        for key, parameter in getattr(state, name).named_parameters():
            for what, value in kept.get(parameter, {}).items():
                if what != "step":
                    yield f"{name}.{key} ({what} of its optimizer)", value


class NumbersGuard:
    """Tells of numbers that are not finite, and ends or sets back a run that they have taken over.

    It is called at each tick, before anything is written of that moment, and as `between_steps` after each step.

    Args:
        log: prints a line.
        events: `Events`: callable (kind, text, nimg, **facts).
        folder: the run folder, for the message.
    """

    everywhere = True  # every process finds the same: they end, or go back, together

    def __init__(self, log, events, folder):
        self.log, self.events, self.folder = log, events, folder
        self._told = {}

    def between_steps(self, state):
        """Look at what the last step has left.

        Raises:
            Rollback: a streak, under "rollback".
            UserError: a streak, under "stop".
        """
        health = state.health
        if health.take_news():
            self._tell(state)
        if health.streak is not None:
            layers = [name for name, count in health.counts.items() if count > self._told.get(name, 0)] or list(health.counts)
            network = "the generator" if health.streak == "G" else "the discriminator"
            self._end(state, f"{STREAK} of the last {WINDOW} steps of {network} had gradients that are no finite numbers", layers)

    def __call__(self, state, tick):
        if state.health.counts != self._told:
            self._tell(state)
        bad = not_finite(state)
        if state.world.any(bool(bad)):
            self._end(state, f"the training state holds numbers that are not finite ({_some(bad)})", bad)

    def _tell(self, state):
        health = state.health
        if not self._told:
            text = "Steps with gradients that are no finite numbers are left out; now and then one is nothing to worry about. "
            self.log(text + f"Steps by layer: {health.words()}")
        else:
            self.log(f"Steps left out, by layer: {health.words()}")
        self._told = dict(health.counts)
        self.events("skip", f"steps left out, by layer: {health.words()}", state.nimg, layers=self._told)

    def _end(self, state, reason, layers):
        if state.config.on_nan == "rollback":
            raise Rollback(reason, "numbers", tuple(layers))
        self.events("fault", reason, state.nimg, layers=list(layers)[:20])
        raise UserError(
            f"Stopped at kimg {state.nimg / 1000:g}: {reason}. checkpoint.pkl is the last one from before; go on from it with: "
            f"sgtool train --resume {self.folder} --on-nan rollback"
        )


def _some(names):
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
