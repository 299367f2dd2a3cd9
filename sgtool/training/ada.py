"""Adaptive discriminator augmentation: the controller of the augmentation probability p.

Karras et al., Training GANs with limited data (2020), section 3.2.
"""

import math

import torch


class Ada:
    """Moves p so that r_t = E[sign D(real)] stays at a target: more augmentation when D overfits, less when it does not.

    Every `interval` training steps r_t is the mean over the real pictures seen since the last time, and p goes up by
    pictures seen / (1000 kimg) if r_t is above the target, down by as much if below. p stays in [0, p_max]: beyond about 0.8
    the generator begins to imitate the augmentations ("leaking").

    Attributes:
        p: augmentation probability.
        rt: the last r_t, in [-1, 1]; None before the first.
    """

    def __init__(self, target=0.6, p=0.0, p_max=0.8, interval=4, kimg=500):
        """
        Args:
            target: r_t to hold, in [-1, 1]; None = p stays as it is and r_t is only measured.
            p: probability to begin with.
            p_max: p goes no higher; a fixed p is not bound by it.
            interval: training steps between two adjustments.
            kimg: thousands of pictures in which p can move from 0 to 1.
        Raises:
            ValueError: a value is out of range.
        """
        limits = {"p": (p, 0, 1), "p_max": (p_max, 0, 1), "target": (0 if target is None else target, -1, 1)}
        limits |= {"interval": (interval, 1, math.inf), "kimg": (kimg, 0, math.inf)}
        for name, (value, low, high) in limits.items():
            if not low <= value <= high or (name == "kimg" and value == 0):
                raise ValueError(f"Ada: {name} is {value}; it must be in [{low}, {high}] and kimg above 0.")
        self.target, self.p_max, self.interval, self.kimg = target, p_max, interval, kimg
        self.p = float(p) if target is None else min(float(p), float(p_max))
        self.rt = None
        self._steps = 0  # since the last adjustment
        self._images = 0  # trained on since then
        self._signs = 0.0  # sum of signs since then, and how many
        self._count = 0
        self._pending = []  # sums still on the device: adding them up at once saves waiting for it at each step

    @property
    def at_limit(self):
        """Whether p is held at `p_max`, though the target may ask for more."""
        return self.target is not None and self.p >= self.p_max

    def observe(self, logits):
        """Count the signs of D(real) for some real pictures; `logits` of any shape, or their signs."""
        self.observe_sum(torch.sign(logits.detach().float()).sum(), logits.numel())

    def observe_sum(self, total, count):
        """Count signs of which sum (a tensor) and number are known."""
        self._pending.append(total)
        self._count += count

    def update(self, batch_size):
        """Count one training step of `batch_size` pictures; at every `interval`-th one adjust p.

        Returns:
            Whether `rt` was measured anew.
        Raises:
            ValueError: no real picture was observed since the last adjustment.
        """
        self._steps += 1
        self._images += batch_size
        if self._steps < self.interval:
            return False
        if self._count == 0:
            raise ValueError(f"Ada.update: no logits were given to observe() in the last {self._steps} steps.")
        self._collect()
        self.rt = self._signs / self._count
        if self.target is not None:
            direction = (self.rt > self.target) - (self.rt < self.target)
            p = self.p + direction * self._images / (self.kimg * 1000)
            self.p = min(max(p, 0.0), float(self.p_max))
        self._steps, self._images, self._signs, self._count = 0, 0, 0.0, 0
        return True

    def _collect(self):
        self._signs += sum(float(value) for value in self._pending)
        self._pending = []

    def state_dict(self):
        """Give all that changes in training, half-filled sums too, as plain numbers."""
        self._collect()
        state = {"p": self.p, "rt": self.rt, "steps": self._steps, "images": self._images}
        return state | {"signs": self._signs, "count": self._count}

    def load_state_dict(self, state):
        """Go on exactly where `state_dict` was called. Target, limit and speed stay those of this object."""
        self.p, self.rt, self._steps, self._images = state["p"], state["rt"], state["steps"], state["images"]
        self._signs, self._count, self._pending = state["signs"], state["count"], []
