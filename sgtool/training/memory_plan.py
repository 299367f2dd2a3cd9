"""How much memory a run will take, before it takes it."""

import json
import weakref
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sgtool.networks import build_discriminator, build_generator, set_precision
from sgtool.training.config import TrainConfig
from sgtool.training.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that training takes on its device, in each process.

    Attributes:
        networks: weights of G, D and G_ema.
        gradients: of G and D.
        optimizer: Adam's two numbers for each weight.
        activations: the most that a phase keeps at a time, for `batch_gpu` pictures.
        other: of the process before training; decoded pictures, where they lie on the device.
    """

    networks: int
    gradients: int
    optimizer: int
    activations: int
    other: int = 0

    @property
    def total(self):
        """All of it."""
        return self.networks + self.gradients + self.optimizer + self.activations + self.other

    def describe(self):
        """Write it as a line, in GB."""
        names = ("networks", "gradients", "optimizer", "activations", "other")
        parts = ", ".join(f"{name} {getattr(self, name) / 1e9:.2f}" for name in names if getattr(self, name))
        return f"{self.total / 1e9:.2f} GB ({parts})"


def plan_memory(config, device, other=0):
    """Find out what a configuration takes, without computing or allocating it.

    Each phase of a training step runs once on tensors without contents, while their sizes are counted. Not counted: what
    libraries take for themselves (oneDNN and cuDNN their work space), gaps between blocks, and the augmentation, which works
    on pictures of few channels. On CUDA the plain implementation of the ops is counted; the kernels take less.

    Args:
        config: `TrainConfig`.
        device: torch.device that will train.
        other: bytes taken besides.
    Returns:
        `MemoryPlan`.
    """
    weights, trained, peak = _sizes(json.dumps(config.as_dict(), sort_keys=True), device.type)
    return MemoryPlan(weights, trained, 2 * trained, peak, other)


@lru_cache(maxsize=8)
def _sizes(config, device_type):
    """Return the bytes of G, D and G_ema, of what is trained, and of the activations; `config` is the JSON of its dict."""
    config = TrainConfig.from_dict(json.loads(config))
    G, D = networks_without_contents(config, device_type)
    weights = {network: bytes_of(network.state_dict().values()) for network in (G, D)}
    trained = sum(bytes_of(p for p in network.parameters() if p.requires_grad) for network in (G, D))
    peak = max(peak_of(phase, config.batch_gpu, G, D, config) for phase in phases(config))
    return 2 * weights[G] + weights[D], trained, peak


def bytes_of(tensors):
    """Return how many bytes the elements of some tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def networks_without_contents(config, device_type):
    """Return G and D on the device "meta", computing in the types that "cpu" or "cuda" would."""
    with torch.device("meta"):
        networks = [build_generator(**config.generator_kwargs()), build_discriminator(**config.discriminator_kwargs())]
    precision = "fp16" if config.precision == "auto" and device_type == "cuda" else config.precision
    for network in networks:
        set_precision(network.to("meta").train(), precision)
    return networks


def phases(config):
    """Return the phases of a step that are on, as callables (count, G, D, config) -> loss."""
    regularizers = [(path_length_phase, config.pl_weight), (gradient_penalty_phase, config.gamma)]
    return [generator_phase, discriminator_phase, *(phase for phase, weight in regularizers if weight)]


def generator_phase(count, G, D, config):
    """G against D."""
    return generator_loss(D(*generated(count, G, config)))


def discriminator_phase(count, G, D, config):
    """D against G, generated and real pictures in one pass."""
    with torch.no_grad():
        fake, c = generated(count, G, config)
    logits = D(torch.cat([fake, pictures(count, config)]), torch.cat([c, c]), parts=2)
    return discriminator_loss(*logits.chunk(2))


def path_length_phase(count, G, D, config):
    """Path length regularization, on a part of the pictures."""
    count = max(count // config.pl_batch_shrink, 1)
    ws = G.mapping(torch.empty(count, G.z_dim, device="meta"), torch.empty(count, config.c_dim, device="meta"))
    return path_lengths(G.synthesis, ws, pictures(count, config)).square().mean()


def gradient_penalty_phase(count, G, D, config):
    """R1 regularization."""
    return r1_penalty(D, pictures(count, config), torch.empty(count, config.c_dim, device="meta")).mean()


def generated(count, G, config):
    """Return (pictures, labels) of G, without contents."""
    c = torch.empty(count, config.c_dim, device="meta")
    return G(torch.empty(count, G.z_dim, device="meta"), c), c


def pictures(count, config):
    """Return pictures without contents."""
    return torch.empty(count, config.channels, config.height, config.width, device="meta")


def peak_of(phase, count, G, D, config):
    """Return the most bytes that a phase, forward and backward, keeps at a time besides weights and their gradients."""
    network, other = (G, D) if phase in (generator_phase, path_length_phase) else (D, G)
    other.requires_grad_(False)
    try:
        with LiveBytes([*G.state_dict().values(), *D.state_dict().values()]) as live:
            phase(count, G, D, config).backward()
    finally:
        other.requires_grad_(True)
        gradients = bytes_of(p.grad for p in network.parameters() if p.grad is not None)
        network.zero_grad(set_to_none=True)
    return max(live.peak - gradients, 0)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made inside the block, as long as they live.

    Attributes:
        now: bytes alive.
        peak: the most that were.
    """

    def __init__(self, there=()):
        """
        Args:
            there: tensors made before, of which views are no new bytes.
        """
        super().__init__()
        self.now = self.peak = 0
        self._there = [tensor.untyped_storage() for tensor in there]
        self._known = {id(storage) for storage in self._there}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key, size):
        self._known.discard(key)
        self.now -= size
