"""Everything that a run needs to go on exactly, in one object."""

import copy
import dataclasses

import torch

from sgtool.distributed import ALONE
from sgtool.networks import build_discriminator, build_generator, set_precision
from sgtool.snapshots.container import write_container
from sgtool.training.ada import Ada
from sgtool.training.changes import newest_values
from sgtool.training.gradients import GradientSum
from sgtool.training.health import Health
from sgtool.training.meter import Meter
from sgtool.training.schedules import lazy_adam

COUNTERS = ("nimg", "step", "tick", "tick_start_nimg", "elapsed", "nonfinite", "attempt")


class TrainState:
    """Networks, optimizers, controllers, counters and random states of a run. If it matters and is not here, it is a bug.

    Attributes:
        config: `TrainConfig`, as it is now.
        asked: `TrainConfig` that the run was started with, or last gone on with.
        changes: notes of what was changed since then, see `changes`.
        G, D, G_ema: the networks.
        opt_G, opt_D: Adam with lazy-regularization correction.
        ada: controller of the augmentation probability.
        pl_mean: running mean of path lengths, scalar tensor.
        meter: statistics since the last tick.
        health: `Health`, the count of numbers that were not finite.
        rollbacks: what made the run go back so far: [{"nimg", "to", "reason"}], see `rollback`.
        best: best value of each metric: {name: {"value": ..., "nimg": ...}}.
        nimg: real pictures shown; also the position in the shuffled data.
        step: training steps done.
        tick, tick_start_nimg: number of the next tick, and `nimg` when the last one ended.
        elapsed: seconds of training so far, over all starts.
        nonfinite: optimizer steps left out because a gradient was not a finite number.
        attempt: how often the run went back to a checkpoint; random numbers are others each time.
        world: `World`, the processes that train together; each of them has the same state.
    """

    def __init__(self, config, G, D, device, world=ALONE, changes=()):
        self.asked, self.changes = config, list(changes)
        self.config = config = dataclasses.replace(config, **newest_values(changes))
        self.device, self.world = torch.device(device), world
        self.G, self.D = G.to(device).train(), D.to(device).train()
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.G.mapping.requires_grad_(not config.freeze_mapping)
        for network in (self.G, self.D, self.G_ema):
            set_precision(network, config.precision)
        keep_single_precision(self, config.fp32_blocks)
        self.opt_G = _adam(self.G, config.glr, config.g_reg_interval)
        self.opt_D = _adam(self.D, config.dlr, config.d_reg_interval)
        self.gradient_sums = {name: GradientSum(trained(network), world) for name, network in (("G", self.G), ("D", self.D))}
        adaptive = config.aug == "ada"
        self.ada = Ada(
            target=config.target if adaptive else None,
            p=config.p,
            p_max=config.p_max,
            interval=config.ada_interval,
            kimg=config.ada_kimg,
        )
        self.pl_mean = torch.zeros([], device=device)
        self.meter = Meter()
        self.health = Health({"G": self.G, "D": self.D})
        self.best, self.rollbacks = {}, []
        self.nimg = self.step = self.tick = self.tick_start_nimg = self.nonfinite = self.attempt = 0
        self.elapsed = 0.0

    @classmethod
    def fresh(cls, config, device, world=ALONE, changes=()):
        """Start a run: networks from the seed."""
        torch.manual_seed(config.seed)
        now = dataclasses.replace(config, **newest_values(changes))
        G, D = build_generator(**now.generator_kwargs()), build_discriminator(**now.discriminator_kwargs())
        return cls(config, G, D, device, world, changes)

    @property
    def done(self):
        """Whether all pictures of the run have been shown."""
        return self.nimg >= self.config.kimg * 1000

    def state_dict(self):
        """Give the whole state as plain containers and tensors."""
        return {
            "networks": {name: getattr(self, name).state_dict() for name in ("G", "D", "G_ema")},
            "optimizers": {name: getattr(self, name).state_dict() for name in ("opt_G", "opt_D")},
            "ada": self.ada.state_dict(),
            "pl_mean": self.pl_mean,
            "meter": self.meter.state_dict(),
            "best": self.best,
            "health": self.health.state_dict(),
            "rollbacks": self.rollbacks,
            "changes": self.changes,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "device": self.device.type,
        }

    def load_state_dict(self, state):
        """Go on exactly where `state_dict` was called."""
        for name, tensors in state["networks"].items():
            getattr(self, name).load_state_dict(tensors)
        for name, values in state["optimizers"].items():
            optimizer = getattr(self, name)
            optimizer.load_state_dict(values)
            for parameter, kept in optimizer.state.items():  # Adam walks through memory: all in the parameter's order
                optimizer.state[parameter] = {key: _in_order_of(parameter, value) for key, value in kept.items()}
        self.ada.load_state_dict(state["ada"])
        self.pl_mean = state["pl_mean"].to(self.device)
        self.meter.load_state_dict(state["meter"])
        self.best = dict(state["best"])
        self.health.load_state_dict(state.get("health", {}))
        self.rollbacks = list(state.get("rollbacks", ()))
        self.changes = list(state.get("changes", ()))
        for name in COUNTERS:
            setattr(self, name, state["counters"].get(name, 0))

    def contents(self, extra):
        """Give what a checkpoint holds: {"config", "state"} and the plain values of the dict `extra`."""
        return {**extra, "config": self.asked.as_dict(), "state": self.state_dict()}

    def save(self, path, extra):
        """Write a checkpoint, whole or not at all."""
        write_container(self.contents(extra), path, "checkpoint")


def keep_single_precision(state, blocks):
    """Let some blocks compute in single precision: "D.b8,G.synthesis.b16"; G_ema's as G's."""
    for network, _, name in (block.partition(".") for block in filter(None, blocks.split(","))):
        for one in ("G", "G_ema") if network == "G" else ("D",):
            set_precision(getattr(state, one).get_submodule(name), "fp32")


def trained(network):
    """Return the parameters that are trained, a list in the network's order."""
    return [p for p in network.parameters() if p.requires_grad]


def _adam(network, lr, interval):
    lr, betas = lazy_adam(lr, (0.0, 0.99), interval)
    parameters = trained(network)
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=1e-8, fused=fused)


def _in_order_of(parameter, value):
    """Give a tensor of the parameter's shape its order in memory too; leave anything else as it is."""
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
