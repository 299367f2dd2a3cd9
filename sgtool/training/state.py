"""Everything that a run needs to go on exactly, in one object."""

import copy

import torch

from sgtool.networks import build_discriminator, build_generator, set_precision
from sgtool.snapshots.container import write_container
from sgtool.training.ada import Ada
from sgtool.training.meter import Meter
from sgtool.training.schedules import lazy_adam

COUNTERS = ("nimg", "step", "tick", "tick_start_nimg", "elapsed", "nonfinite")


class TrainState:
    """Networks, optimizers, controllers, counters and random states of a run. If it matters and is not here, it is a bug.

    Attributes:
        config: `TrainConfig`.
        G, D, G_ema: the networks.
        opt_G, opt_D: Adam with lazy-regularization correction.
        ada: controller of the augmentation probability.
        pl_mean: running mean of path lengths, scalar tensor.
        meter: statistics since the last tick.
        best: best value of each metric: {name: {"value": ..., "nimg": ...}}.
        nimg: real pictures shown; also the position in the shuffled data.
        step: training steps done.
        tick, tick_start_nimg: number of the next tick, and `nimg` when the last one ended.
        elapsed: seconds of training so far, over all starts.
        nonfinite: optimizer steps left out because a gradient was not a finite number.
    """

    def __init__(self, config, G, D, device):
        self.config, self.device = config, torch.device(device)
        self.G, self.D = G.to(device).train(), D.to(device).train()
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        for network in (self.G, self.D, self.G_ema):
            set_precision(network, config.precision)
        self.opt_G = _adam(self.G, config.glr, config.g_reg_interval)
        self.opt_D = _adam(self.D, config.dlr, config.d_reg_interval)
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
        self.best = {}
        self.nimg = self.step = self.tick = self.tick_start_nimg = self.nonfinite = 0
        self.elapsed = 0.0

    @classmethod
    def fresh(cls, config, device):
        """Start a run: seed the random generators and make the networks."""
        torch.manual_seed(config.seed)
        return cls(
            config, build_generator(**config.generator_kwargs()), build_discriminator(**config.discriminator_kwargs()), device
        )

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
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "random": random_state(self.device),
        }

    def load_state_dict(self, state):
        """Go on exactly where `state_dict` was called, random numbers included."""
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
        for name in COUNTERS:
            setattr(self, name, state["counters"][name])
        set_random_state(state["random"], self.device)

    def save(self, path, extra):
        """Write a checkpoint, whole or not at all: {"config", "state"} and the plain values of the dict `extra`."""
        write_container({**extra, "config": self.config.as_dict(), "state": self.state_dict()}, path, "checkpoint")


def _adam(network, lr, interval):
    lr, betas = lazy_adam(lr, (0.0, 0.99), interval)
    parameters = [p for p in network.parameters() if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=1e-8, fused=fused)


def _in_order_of(parameter, value):
    """Give a tensor of the parameter's shape its order in memory too; leave anything else as it is."""
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def random_state(device):
    """States of torch's generators that training draws from: the CPU's and, under its type, the device's."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state, device):
    """Undo what was drawn since `random_state`. A device that the state does not know keeps its own: exact only on one type."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
