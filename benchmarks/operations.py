"""How many operations the dense layers of a network need: convolutions and fully connected layers, counted from their shapes.

A multiplication and an addition count as two. A layer that upsamples is counted where its kernel meets samples, not
the zeros between them; what else a network does (filters, activations, noise) is not counted.
"""

from collections import Counter

import torch


@torch.no_grad()
def of_forward(network, call):
    """Count one forward pass.

    Args:
        network: the module whose layers are counted.
        call: runs it once, on one picture.
    Returns:
        {dtype that the layer computes in: operations}.
    """
    found = Counter()

    def note(layer, inputs, result):
        found[inputs[0].dtype] += of_layer(layer.weight, inputs[0], result)

    layers = [layer for layer in network.modules() if isinstance(getattr(layer, "weight", None), torch.nn.Parameter)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise RuntimeError("no layer was counted")
    return dict(found)


def of_layer(weight, x, y):
    """Operations from x to y: each weight is used once a row, or once a position of the smaller of both pictures."""
    uses = x.shape[0] if weight.ndim == 2 else x.shape[0] * min(x[0, 0].numel(), y[0, 0].numel())
    return 2 * weight.numel() * uses


def of_generator(G):
    """Return {dtype: operations} of one picture."""
    device = next(G.parameters()).device
    z, c = torch.ones([1, G.z_dim], device=device), torch.zeros([1, G.c_dim], device=device)
    return of_forward(G, lambda: G(z, c, noise_mode="none"))


def of_discriminator(D, images):
    """Return {dtype: operations} of one picture, given a batch of them."""
    c = torch.zeros([1, D.c_dim], device=images.device)
    return of_forward(D, lambda: D(images[:1], c))


# What a phase needs for each picture it is given, in forward passes of G and D; the gradient with respect to a layer's input
# is as much work as a forward pass, and so is the one with respect to its weights. Gmain: G with both gradients, D with that
# of its input only, as it stands still. Dmain: G forward, D with both gradients, on two pictures. Regularizers: forward,
# gradient of the input, and the gradient of all that: back through both, to inputs and to weights.
PASSES = {"Gmain": (3, 2), "Greg": (6, 0), "Dmain": (1, 6), "Dreg": (0, 6)}


def of_phases(config, generator, discriminator):
    """Return {phase: {dtype: operations}} for one real picture of a step in which the phase runs.

    Args:
        config: `TrainConfig`.
        generator, discriminator: {dtype: operations} of one picture forward.
    """
    share = {"Greg": max(config.batch_gpu // config.pl_batch_shrink, 1) / config.batch_gpu}
    phases = {}
    for phase, passes in PASSES.items():
        phases[phase] = Counter()
        for count, network in zip(passes, (generator, discriminator), strict=True):
            for dtype, operations in network.items():
                phases[phase][dtype] += share.get(phase, 1) * count * operations
    return {phase: {dtype: n for dtype, n in counts.items() if n} for phase, counts in phases.items()}


def of_training(config, phases):
    """Return {dtype: operations} for one real picture, regularizers counted as often as they run."""
    often = {
        "Greg": 1 / config.g_reg_interval if config.pl_weight else 0,
        "Dreg": 1 / config.d_reg_interval if config.gamma else 0,
    }
    total = Counter()
    for phase, counts in phases.items():
        for dtype, operations in counts.items():
            total[dtype] += often.get(phase, 1) * operations
    return dict(total)
