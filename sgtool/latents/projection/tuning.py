"""Pivotal tuning: the generator is changed until the pictures of given latents are the given pictures.

Roich, Mokady, Bermano & Cohen-Or 2021, "Pivotal Tuning for Latent-based Editing of Real Images", section 3.
"""

import copy

import torch

from sgtool.latents.seeds import one_hot
from sgtool.networks import set_precision
from sgtool.networks.layers import SynthesisLayer

PUBLISHED_RATE, PUBLISHED_WIDTH = 3e-4, 512


class Tuning:
    """Tune the synthesis network of a copy of G around its pivots.

    For each picture, distance(G'(w), target) * tuning_distance_weight + mean((G'(w) - target) ** 2) * tuning_pixel_weight is made
    small, their mean over the pictures by Adam; one network for all of them (section 3.2, equations 2 and 3). The mapping network
    and the noise maps stay, so that the tuned network shows the same with its pivots wherever it is used.

    With `locality_weight`, the network is also held to what it was at one random latent near a pivot in each step:
    w + locality_radius * u, u the unit direction to a mapped random latent (section 3.3).

    All is computed in float32.

    Args:
        G: generator in eval mode, on its device. It is left as it is.
        ws: `[N, num_ws, w_dim]`, the pivots.
        targets: `[N, C, H, W]` float, -1..1.
        distance: an object whose `features(img)` are `[N, F]`; the distance is the squared Euclidean distance of features.
        settings: `Settings`.
        noises: {name of a noise buffer in `G.synthesis`: `[1, H, W]`}, as `Search.noises` gives them, of a single picture; they
            become the tuned network's. None: the network keeps its own.
        batch: pictures computed at once, which bounds the memory; None = all. It changes the result by float rounding only.
    Raises:
        ValueError: arguments of shapes that do not fit.
    """

    def __init__(self, G, ws, targets, distance, settings, noises=None, batch=None):
        device = next(G.parameters()).device
        if len(ws) != len(targets) or ws.shape[1:] != (G.num_ws, G.w_dim):
            raise ValueError(f"ws must be [{len(targets)}, {G.num_ws}, {G.w_dim}], not {list(ws.shape)}")
        if noises and len(targets) != 1:
            raise ValueError("a network has one set of noise maps: noises can be given for a single picture only")
        self.settings, self.distance, self._original = settings, distance, G
        with torch.inference_mode(False), torch.no_grad():
            size = batch or len(targets)
            self._ws = ws.detach().to(device, torch.float32).clone().split(size)
            self._targets = targets.detach().to(device, torch.float32).clone().split(size)
            self._wanted = [distance.features(part).clone() for part in self._targets]
            self._tuned = _in_full_precision(G.synthesis, noises)
            self._before = _in_full_precision(G.synthesis, noises) if settings.locality_weight else None
        self._tuned.requires_grad_(True)
        self.learning_rate = settings.tuning_learning_rate
        if self.learning_rate is None:
            self.learning_rate = learning_rate(self._tuned)
        self._adam = torch.optim.Adam(self._tuned.parameters(), lr=self.learning_rate)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self.step_number = 0

    @property
    def finished(self):
        """Whether all steps are done."""
        return self.steps_left <= 0

    @property
    def steps_left(self):
        """How many steps are left."""
        return self.settings.tuning_steps - self.step_number

    def step(self):
        """Go one step.

        Returns:
            {"distance", "pixels"}: `[N]` each, of the pictures before this step: distances, and mean squared differences.
        """
        number, seen = sum(map(len, self._ws)), []
        with torch.inference_mode(False), torch.enable_grad():
            self._adam.zero_grad()
            for ws, targets, wanted in zip(self._ws, self._targets, self._wanted, strict=True):
                terms = self._terms(ws, targets, wanted)
                (self._weighted(*terms).sum() / number).backward()
                seen.append([term.detach() for term in terms])
            if self.settings.locality_weight:
                (self.settings.locality_weight * self._weighted(*self._drift()).sum()).backward()
            self._adam.step()
        self.step_number += 1
        return {name: torch.cat(parts) for name, parts in zip(("distance", "pixels"), zip(*seen, strict=True), strict=True)}

    def _terms(self, ws, targets, wanted):
        """Return distances and mean squared differences `[N]` of the tuned network's pictures."""
        img = self._tuned(ws, noise_mode="const")
        distances = (self.distance.features(img) - wanted).square().sum(dim=1)
        return distances, (img - targets).square().mean(dim=(1, 2, 3))

    def _weighted(self, distances, pixels):
        return self.settings.tuning_distance_weight * distances + self.settings.tuning_pixel_weight * pixels

    def _drift(self):
        """Return the terms `[1]` between the tuned network and what it was, at a random latent near one of the pivots."""
        G, pivots = self._original, torch.cat(self._ws)
        i, label = (int(torch.randint(max(count, 1), [1], generator=self._generator)) for count in (len(pivots), G.c_dim))
        z = torch.randn(1, G.z_dim, generator=self._generator).to(pivots.device)
        with torch.no_grad():
            towards = G.mapping(z, one_hot([label], G.c_dim).to(z.device) if G.c_dim else None).float() - pivots[i]
            length = towards.square().sum(dim=2, keepdim=True).sqrt().clamp(min=1e-8)
            ws = pivots[i] + self.settings.locality_radius * towards / length
            before = self._before(ws, noise_mode="const")
            wanted = self.distance.features(before)
        return self._terms(ws, before, wanted)

    def pictures(self):
        """Return the pictures `[N, C, H, W]` of the pivots as they are now."""
        with torch.inference_mode(False), torch.no_grad():
            return torch.cat([self._tuned(ws, noise_mode="const") for ws in self._ws])

    def network(self):
        """Return a copy of G with the synthesis network as it is now, without gradients."""
        with torch.inference_mode(False):
            G = copy.deepcopy(self._original)
            G.synthesis.load_state_dict(self._tuned.state_dict())
        return G.eval().requires_grad_(False)

    def state_dict(self):
        """Return all that going on exactly needs besides the arguments: tensors on the CPU, and numbers."""
        rows = self._adam.state_dict()["state"]
        return {
            "step_number": self.step_number,
            "synthesis": {name: tensor.cpu().clone() for name, tensor in self._tuned.state_dict().items()},
            "adam": {str(i): {name: value.cpu().clone() for name, value in row.items()} for i, row in rows.items()},
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state):
        """Go on where `state_dict` was taken, in a tuning made with the same arguments."""
        self._tuned.load_state_dict(state["synthesis"])
        rows = {int(i): row for i, row in state["adam"].items()}
        self._adam.load_state_dict({**self._adam.state_dict(), "state": rows})
        self._generator.set_state(state["generator"])
        self.step_number = state["step_number"]


def learning_rate(synthesis):
    """Return the learning rate for a network: 3e-4 * sqrt(512 / feature maps of its widest layer), at least 3e-4.

    3e-4 was published for networks of 512 feature maps. Weights here have a variance of 1 whatever the width, and are scaled by
    1 / sqrt(fan-in) when they are used: Adam, which moves each by the learning rate, changes the result of a layer in proportion
    to sqrt(fan-in). Narrow networks would hardly move in the published number of steps.
    """
    widest = max(layer.weight.shape[1] for layer in synthesis.modules() if isinstance(layer, SynthesisLayer))
    return PUBLISHED_RATE * max(1.0, PUBLISHED_WIDTH / widest) ** 0.5


def _in_full_precision(synthesis, noises):
    """Return a copy that computes in float32, with these noise maps in place of its own (None = none)."""
    synthesis = copy.deepcopy(synthesis).requires_grad_(False)
    set_precision(synthesis, "fp32")
    for name, maps in (noises or {}).items():
        synthesis.get_buffer(name).copy_(maps[0])
    return synthesis
