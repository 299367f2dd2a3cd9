"""Gradients of all processes, added up while the backward pass still runs."""

import contextlib

import torch

BUCKET = 4 << 20  # bytes that are sent at a time


class GradientSum:
    """Adds the gradients of some parameters up over the processes of a world.

    Buckets of gradients are sent as soon as they are complete, last layers first, as DistributedDataParallel does. (That module
    itself sees a network's `forward` only, and not the gradients of gradients of R1 and path length.)

    Args:
        parameters: list of them, the same on each process.
        world: `World`.
    """

    def __init__(self, parameters, world):
        self._world = world
        self._buckets = [[]]
        for parameter in reversed(parameters):
            if sum(p.numel() * p.element_size() for p in self._buckets[-1]) >= BUCKET:
                self._buckets.append([])
            self._buckets[-1].append(parameter)
        self._bucket_of = {p: i for i, bucket in enumerate(self._buckets) for p in bucket}

    @contextlib.contextmanager
    def sending(self):
        """Inside, run the last backward pass of a step; at the end all gradients are sums."""
        if self._world.size == 1:
            yield
            return
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent = []
        hooks = [p.register_post_accumulate_grad_hook(self._note) for p in self._bucket_of]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        while len(self._sent) < len(self._buckets):
            self._send()
        for flat, gradients, finish in self._sent:
            finish()
            parts = flat.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))
        self._sent = []

    def _note(self, parameter):
        """Count a gradient, and send buckets that are complete: in one order everywhere."""
        self._missing[self._bucket_of[parameter]] -= 1
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    def _send(self):
        gradients = [p.grad for p in self._buckets[len(self._sent)] if p.grad is not None]
        if not gradients:
            self._sent.append((torch.empty(0), [], lambda: None))
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sent.append((flat, gradients, self._world.start_sum_(flat)))
