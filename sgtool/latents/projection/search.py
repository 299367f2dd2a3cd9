"""Latents whose picture is a given one, searched by gradient descent, for many pictures at once.

StyleGAN2 (Karras et al. 2020), section 5 and appendix D.
"""

import copy

import torch
from torch.func import functional_call

from sgtool.latents.projection.adam import RowAdam
from sgtool.latents.projection.noise import NoiseMaps
from sgtool.latents.projection.schedule import learning_rate, noise_scale, rampdown_step
from sgtool.latents.projection.start import nearest_labels, start_of_each
from sgtool.networks import set_precision


class Search:
    """Search `ws`, and noise maps, for each target.

    What is made small for each picture is the distance of G(w + noise) to the target + regularize_noise_weight times what
    `noise.regularization` says of its maps. Pictures do not influence one another, and all draw the same random numbers, so
    that one comes out the same, up to float rounding, alone or in any batch. The latents of the last step are the result:
    then nothing is added to w any more and the learning rate has come to zero.

    With `patience`, a picture that has not improved for so many steps goes straight to the last part of the schedule, where the
    learning rate falls, and leaves the batch at its end: stopped on the spot it would keep the unrest of a high learning rate.

    G is left as it is. All is computed in float32.

    Args:
        G: generator in eval mode, on its device.
        targets: `[N, C, H, W]` float, -1..1.
        distance: an object whose `features(img)` are `[N, F]`; the distance is the squared Euclidean distance of features.
        settings: `Settings`.
        labels: `[N, c_dim]`, or None: begin at the mean of all classes.
        optimise_labels: choose the label of each picture instead, see `start.nearest_labels`.
    Raises:
        ValueError: targets or labels of a wrong shape.
    """

    def __init__(self, G, targets, distance, settings, labels=None, optimise_labels=False):
        device = next(G.parameters()).device
        _check(G, targets, labels)
        with torch.inference_mode(False), torch.no_grad():
            self.settings, self.distance = settings, distance
            self.synthesis = copy.deepcopy(G.synthesis).requires_grad_(False)
            set_precision(self.synthesis, "fp32")
            targets = targets.detach().to(device, torch.float32).clone()
            self._wanted = distance.features(targets).clone()  # [N, F]
            if optimise_labels and G.c_dim:
                labels = nearest_labels(G, targets, distance, settings.w_avg_samples)
            self.labels = None if labels is None or not G.c_dim else labels.to(device, torch.float32).clone()
            means, self._spreads = start_of_each(G, settings.w_avg_samples, self.labels, len(targets))
            self._rows = 1 if settings.space == "w" else G.num_ws
            self._maps = NoiseMaps(self.synthesis if settings.optimise_noise else torch.nn.Module())
            self._generator = torch.Generator().manual_seed(settings.seed)
            self._begin(means)

    def _begin(self, means):
        """Set up the variables: a row for each picture, its ws and then its noise maps, end to end."""
        number, device = len(means), means.device
        maps = torch.randn(1, self._maps.total, generator=self._generator).to(device).repeat(number, 1)
        self._found = torch.cat([means.repeat(1, self._rows), maps], dim=1)  # [N, F], of pictures that are in the batch: old
        self._x = self._found.clone()  # [active, F]
        self._adam = RowAdam(self._x)
        self.step_number, self.active = 0, list(range(number))
        self._positions, self._best, self._since = [0] * number, [float("inf")] * number, [0] * number
        self._last = {name: torch.full([number], float("nan"), device=device) for name in ("distance", "noise")}

    @property
    def finished(self):
        """Whether all pictures are done."""
        return not self.active

    @property
    def steps_left(self):
        """How many steps are left at most."""
        return max((self.settings.num_steps - self._positions[i] for i in self.active), default=0)

    def step(self):
        """Go one step.

        Returns:
            {"distance", "noise"}: `[N]` each, of this step's pictures: their distance, and their maps' regularization, without
            its weight. A picture that has left keeps its last values.
        """
        with torch.inference_mode(False), torch.enable_grad():
            x = self._x.detach().requires_grad_(True)
            distances, noise = self._terms(x)
            total = (distances + self.settings.regularize_noise_weight * noise).sum()
            (gradient,) = torch.autograd.grad(total, x)
        with torch.inference_mode(False), torch.no_grad():
            rates = [learning_rate(self._positions[i], self.settings) for i in self.active]
            self._adam.step(self._x, gradient, rates)
            self._maps.normalize_(self._split(self._x)[1])
            self._note(distances.detach(), noise.detach())
        return {name: values.clone() for name, values in self._last.items()}

    def _terms(self, x):
        """Return distances and regularizations `[active]` of the variables, with noise added to w."""
        ws, maps = self._split(x)
        scales = [noise_scale(self._positions[i], self.settings) for i in self.active]
        added = torch.randn(ws.shape[1:], generator=self._generator).to(x.device)  # [rows, w_dim], drawn at each step
        if any(scales):
            ws = ws + added * (torch.tensor(scales, device=x.device) * self._of_active(self._spreads))[:, None, None]
        difference = self.distance.features(self._render(ws, maps)) - self._of_active(self._wanted)
        return difference.square().sum(dim=1), self._maps.regularization(maps)

    def _of_active(self, values):
        return values if len(values) == len(self.active) else values[self.active]

    def _split(self, x):
        """Cut variables into ws `[N, rows, w_dim]` and maps `[N, ...]`, both views."""
        ws, maps = x.split([self._rows * self.synthesis.w_dim, self._maps.total], dim=1)
        return ws.unflatten(1, (self._rows, self.synthesis.w_dim)), maps

    def _render(self, ws, maps):
        ws = ws.expand(-1, self.synthesis.num_ws, -1)
        return functional_call(self.synthesis, self._maps.by_name(maps), (ws, "const"), tie_weights=False)

    def _note(self, distances, noise):
        """Keep the values of this step, and take out of the batch what is done."""
        active = torch.tensor(self.active, device=distances.device)
        self._last["distance"][active], self._last["noise"][active] = distances, noise
        self.step_number += 1
        for i in self.active:
            self._positions[i] += 1
        if self.settings.patience:
            self._hurry(distances.tolist())
        done = [i for i in self.active if self._positions[i] >= self.settings.num_steps]
        if not done:
            return
        self._found[active] = self._x
        staying = [k for k, i in enumerate(self.active) if i not in set(done)]
        self.active = [self.active[k] for k in staying]
        rows = torch.tensor(staying, dtype=torch.long, device=distances.device)
        self._x = self._x[rows]
        self._adam.keep(rows)

    def _hurry(self, distances):
        """Send pictures that no longer improve to the end of the schedule."""
        last_part = rampdown_step(self.settings)
        for i, distance in zip(self.active, distances, strict=True):
            better = distance < self._best[i] * (1 - self.settings.min_improvement)
            self._since[i] = 0 if better else self._since[i] + 1
            if better:
                self._best[i] = distance
            if self._since[i] >= self.settings.patience:
                self._positions[i] = max(self._positions[i], last_part)

    def _variables(self):
        """Return the variables of all pictures, `[N, F]`, a new tensor."""
        x = self._found.clone()
        x[self.active] = self._x
        return x

    def ws(self):
        """Return the latents `[N, num_ws, w_dim]` as they are now."""
        return self._split(self._variables())[0].expand(-1, self.synthesis.num_ws, -1).clone()

    def noises(self):
        """Return the maps as they are now, {name of the buffer in `G.synthesis`: `[N, H, W]`}; only those that are optimised."""
        return {name: maps[:, 0].clone() for name, maps in self._maps.by_name(self._split(self._variables())[1]).items()}

    def pictures(self, own_noise=False):
        """Return the pictures `[N, C, H, W]` of the latents as they are now, nothing added to w.

        Args:
            own_noise: with the network's own noise maps instead of the optimised ones, as whoever has only `ws` sees them.
        """
        with torch.inference_mode(False), torch.no_grad():
            ws, maps = self._split(self._variables())
            if own_noise:
                return self.synthesis(ws.expand(-1, self.synthesis.num_ws, -1), noise_mode="const")
            return self._render(ws, maps)

    def state_dict(self):
        """Return all that going on exactly needs besides the arguments: tensors on the CPU, lists and numbers."""
        return {
            "step_number": self.step_number,
            "active": list(self.active),
            "positions": list(self._positions),
            "best": list(self._best),
            "since": list(self._since),
            "found": self._found.cpu().clone(),
            "x": self._x.cpu().clone(),
            "last": {name: values.cpu().clone() for name, values in self._last.items()},
            "adam": self._adam.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state):
        """Go on where `state_dict` was taken, in a search made with the same arguments.

        Raises:
            ValueError: it belongs to other pictures or another network.
        """
        if state["found"].shape != self._found.shape:
            raise ValueError(f"the state is of {list(state['found'].shape)} variables, this search has {list(self._found.shape)}")
        device = self._found.device
        self.step_number, self.active = state["step_number"], list(state["active"])
        self._positions, self._best, self._since = (list(state[name]) for name in ("positions", "best", "since"))
        self._found, self._x = state["found"].to(device).clone(), state["x"].to(device).clone()
        self._last = {name: values.to(device).clone() for name, values in state["last"].items()}
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"])


def _check(G, targets, labels):
    height, width = G.img_resolution if isinstance(G.img_resolution, (tuple, list)) else (G.img_resolution, G.img_resolution)
    if targets.ndim != 4 or targets.shape[1:] != (G.img_channels, height, width):
        raise ValueError(f"targets must be [N, {G.img_channels}, {height}, {width}], not {list(targets.shape)}")
    if labels is not None and labels.shape != (len(targets), G.c_dim):
        raise ValueError(f"labels must be [{len(targets)}, {G.c_dim}], not {list(labels.shape)}")
