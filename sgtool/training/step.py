"""One training step: the phases Gmain, Greg, Dmain, Dreg, then the averages and the controller.

A phase is computed part by part, on each process its own parts, and what comes of it is a function of the whole batch: gradients,
statistics and running means do not depend on how the batch was cut.
"""

import contextlib
from dataclasses import dataclass

import torch

from sgtool.training import shortage
from sgtool.training.losses import discriminator_loss, generator_loss, path_length_penalty, path_lengths, r1_penalty
from sgtool.training.randomness import Noise
from sgtool.training.schedules import ema_beta
from sgtool.training.shares import parts_of


@dataclass
class Batch:
    """Real pictures for one step: those that this process computes, in the order of `shares.own_places`.

    Attributes:
        images: float `[N, C, H, W]` in [-1, 1].
        c: `[N, c_dim]`, their labels.
        label_pool: all labels of the dataset, to draw those of generated pictures from: `[M]` class numbers or
            `[M, c_dim]` vectors; None = no labels.
    """

    images: torch.Tensor
    c: torch.Tensor
    label_pool: torch.Tensor | None = None


@dataclass(frozen=True)
class Phase:
    """One kind of loss and the network that it trains.

    Attributes:
        name: as NVIDIA's training loop calls it.
        network: "G" or "D".
        loss: function (state, config, part, augment, prepared) -> (loss, {name: values}), of a part.
        interval: the field of `TrainConfig` that says how often; None = in each step.
        weight: the field without which the phase is left out; None = always there.
        prepare: function (state, config, parts) -> what `loss` needs to know of the whole batch.
        finish: function (state, config, sums), with {name: [count, sum, sum of squares]} of the whole batch.
    """

    name: str
    network: str
    loss: object
    interval: str | None = None
    weight: str | None = None
    prepare: object = None
    finish: object = None

    def interval_in(self, config):
        """Return the steps between two times; None if there are none."""
        if self.weight is not None and not getattr(config, self.weight):
            return None
        return 1 if self.interval is None else getattr(config, self.interval)


def train_step(state, config, batch, augment):
    """Train on one batch.

    Args:
        state: `TrainState`, moved on in place.
        config: `TrainConfig`.
        batch: `Batch`, on the state's device.
        augment: callable (images, p, draws) -> images, seen by D only.
    """
    for phase in PHASES:
        interval = phase.interval_in(config)
        if interval is not None and state.step % interval == 0:
            run_phase(phase, interval, state, config, batch, augment)
    update_average(state, config)
    state.ada.update(config.batch)
    state.meter.add("Progress/augment", state.ada.p)
    state.step += 1
    state.nimg += config.batch


def run_phase(phase, interval, state, config, batch, augment):
    """Sum the gradient of one phase up over the parts of the batch and over the processes, and do its optimizer step.

    A regularizer that runs every `interval`-th step counts `interval` times.
    """
    optimizer = getattr(state, f"opt_{phase.network}")
    found = shortage.computed(state, lambda config: accumulate(phase, interval, state, config, batch, augment))
    if config.batch_gpu_auto:
        with state.gradient_sums[phase.network].sending():  # nothing is sent before all processes have succeeded
            pass
    losses = finish_phase(phase, state, state.config, found)
    if state.health.seen(phase.network, state.meter, phase.name, losses):
        optimizer.step()
    else:
        state.nonfinite += 1


def accumulate(phase, interval, state, config, batch, augment):
    """Sum the gradient of one phase up over this process's parts of the batch; leave no other trace.

    Returns:
        What was seen in each part: a list of {name: values}.
    """
    key = (config.seed, state.attempt, state.step, PHASES.index(phase))
    parts = parts_of(batch, config, state.world, key)
    scale = interval * config.batch_gpu / config.batch
    optimizer = getattr(state, f"opt_{phase.network}")
    other = state.D if phase.network == "G" else state.G
    frozen = [p for p in other.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        optimizer.zero_grad(set_to_none=True)
        prepared = phase.prepare(state, config, parts) if phase.prepare else None
        found = []
        for part in parts[:-1]:
            found.append(backward(phase, state, config, part, augment, prepared, scale))
        with contextlib.nullcontext() if config.batch_gpu_auto else state.gradient_sums[phase.network].sending():
            found.append(backward(phase, state, config, parts[-1], augment, prepared, scale))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    return found


def backward(phase, state, config, part, augment, prepared, scale):
    """Add a part's gradient, and return what was seen: {name: values}."""
    loss, seen = phase.loss(state, config, part, augment, prepared)
    (loss * scale).backward()
    return seen


def finish_phase(phase, state, config, found):
    """Bring together what all parts on all processes saw: into the meter, and what the phase itself makes of it.

    Returns:
        Sums of the losses over the batch, scalar tensors.
    """
    names = list(found[0])
    sums = {name: torch.stack([moments(seen[name]) for seen in found]).sum(dim=0) for name in names}
    shapes = [sums[name].shape for name in names]
    flat = state.world.sum_(torch.cat([sums[name].flatten() for name in names]))
    parts = flat.split([shape.numel() for shape in shapes])
    sums = {name: part.view(shape) for name, shape, part in zip(names, shapes, parts, strict=True)}
    for name in names:
        if "/" in name:
            state.meter.add_moments(name, sums[name])
    if phase.finish is not None:
        phase.finish(state, config, sums)
    return [sums[name][1] for name in names if name.endswith(("/loss", "/reg"))]


def moments(values):
    """Return count, sum and sum of squares of values of any shape; of a matrix, of each column: `[3]` or `[3, columns]`."""
    values = values.detach()
    x = values.float() if values.device.type == "mps" else values.double()
    x = x if x.ndim == 2 and x.shape[1] > 1 else x.flatten()
    return torch.stack([torch.full_like(x.sum(dim=0), len(x)), x.sum(dim=0), x.square().sum(dim=0)])


def g_main(state, config, part, augment, prepared):
    """Generator against discriminator."""
    fake, c, w = generate(state, config, part)
    logits = state.D(augment(fake, state.ada.p, part.augmentation()), c)
    loss = generator_loss(logits)
    seen = {"Loss/scores/fake": logits, "Loss/signs/fake": logits.sign(), "Loss/G/loss": loss, "w": w}
    return loss, seen


def move_w_avg(state, config, sums):
    """Move the running mean of w towards that of the batch."""
    mapping = state.G.mapping
    if mapping.w_avg_beta is not None:
        count, total, _ = sums["w"]
        mapping.w_avg.copy_((total / count).to(mapping.w_avg).lerp(mapping.w_avg, mapping.w_avg_beta))


def pl_batch(config, part):
    """How many pictures of a part are generated for path length regularization."""
    return max(len(part.images) // config.pl_batch_shrink, 1)


def lengths_of(state, config, part):
    """Path lengths `[N]` of new latents, on a part of the part."""
    draws = part.draws(pl_batch(config, part))
    z, c = draw_latents(state, part, draws)
    ws = draw_styles(state, config, z, c, part, draws)
    noise = draws.normals(*part.images.shape[1:]) / (part.images[0, 0].numel() ** 0.5)
    return path_lengths(lambda ws: state.G.synthesis(ws, noise_mode=Noise(draws, state.G.synthesis)), ws, noise)


def mean_length(state, config, parts):
    """Mean path length of the whole batch, which each part needs: None where there is one part, which finds it itself."""
    if len(parts) == 1 and state.world.size == 1:
        return None
    if len(parts) > 1:
        total = sum(lengths_of(state, config, part).detach().sum() for part in parts)
        count = sum(pl_batch(config, part) for part in parts)
        return _mean_over(state, total, count)
    return lambda lengths: _mean_over(state, lengths.detach().sum(), len(lengths))


def _mean_over(state, total, count):
    shortage.agree(state)
    total, count = state.world.sum_(torch.stack([total, torch.full_like(total, count)]))
    return total / count


def g_reg(state, config, part, augment, prepared):
    """Path length regularization, on a part of the batch."""
    lengths = lengths_of(state, config, part)
    batch_mean = prepared(lengths) if callable(prepared) else prepared
    penalty, _ = path_length_penalty(lengths, state.pl_mean, config.pl_decay, batch_mean)
    loss = penalty.mean() * config.pl_weight
    return loss, {"Loss/pl_penalty": penalty, "Loss/G/reg": loss, "lengths": lengths}


def move_pl_mean(state, config, sums):
    """Move the running mean of path lengths towards that of the batch; a step that is left out leaves no trace here."""
    count, total, _ = sums["lengths"]
    mean = state.pl_mean.lerp((total / count).to(state.pl_mean), config.pl_decay)
    state.pl_mean = torch.where(mean.isfinite(), mean, state.pl_mean)


def d_main(state, config, part, augment, prepared):
    """Discriminator against generator."""
    with torch.no_grad():
        fake, c, _ = generate(state, config, part)
    both = augment(torch.cat([fake, part.images]), state.ada.p, part.augmentation() + part.real_augmentation())
    fake_logits, real_logits = state.D(both, torch.cat([c, part.c]), parts=2).chunk(2)
    loss = discriminator_loss(fake_logits, real_logits)
    seen = {"Loss/scores/real": real_logits, "Loss/signs/real": real_logits.sign(), "Loss/D/loss": loss}
    return loss, seen


def observe_signs(state, config, sums):
    """Tell the controller of augmentation how real pictures were judged."""
    count, total, _ = sums["Loss/signs/real"]
    state.ada.observe_sum(total, config.batch)


def d_reg(state, config, part, augment, prepared):
    """R1 regularization; its gradient passes through the augmentation."""
    draws = part.real_augmentation()
    penalty = r1_penalty(lambda img, c: state.D(augment(img, state.ada.p, draws), c), part.images, part.c)
    loss = penalty.mean() * (config.gamma / 2)
    return loss, {"Loss/r1_penalty": penalty, "Loss/D/reg": loss}


PHASES = (
    Phase("Gmain", "G", g_main, finish=move_w_avg),
    Phase("Greg", "G", g_reg, "g_reg_interval", "pl_weight", prepare=mean_length, finish=move_pl_mean),
    Phase("Dmain", "D", d_main, finish=observe_signs),
    Phase("Dreg", "D", d_reg, "d_reg_interval", "gamma"),
)


def generate(state, config, part):
    """Make as many pictures as a part has from new latents, with style mixing. Returns (pictures, labels, w `[N, w_dim]`)."""
    draws = part.draws()
    z, c = draw_latents(state, part, draws)
    ws = draw_styles(state, config, z, c, part, draws)
    return state.G.synthesis(ws, noise_mode=Noise(draws, state.G.synthesis)), c, ws[:, 0].detach()


def draw_latents(state, part, draws):
    """Draw z `[N, z_dim]`, and labels c `[N, c_dim]` from the dataset's."""
    z = draws.normals(state.G.z_dim)
    if part.label_pool is None:
        return z, torch.zeros([len(draws), 0], device=z.device)
    labels = part.label_pool[draws.below(len(part.label_pool)).to(z.device)]
    return z, labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, state.G.c_dim).float()


def draw_styles(state, config, z, c, part, draws):
    """Map z and c to ws; with probability `style_mixing_prob`, rows from a random layer on come from other latents.

    The layer is one for the whole batch. StyleGAN (Karras et al. 2019), section 3.1.
    """
    ws = state.G.mapping(z, c)
    if config.style_mixing_prob > 0:
        shared = part.shared()
        if float(shared.uniform()) < config.style_mixing_prob:
            cut = 1 + int(shared.below(ws.shape[1] - 1))
            other = state.G.mapping(draws.normals(state.G.z_dim), c)
            ws = torch.cat([ws[:, :cut], other[:, cut:]], dim=1)
    return ws


@torch.no_grad()
def update_average(state, config):
    """Move G_ema towards G: parameters by the decay of this step, buffers as they are."""
    beta = ema_beta(config.batch, config.ema_kimg, state.nimg, config.ema_rampup)
    torch._foreach_lerp_(list(state.G_ema.parameters()), list(state.G.parameters()), 1 - beta)
    for average, buffer in zip(state.G_ema.buffers(), state.G.buffers(), strict=True):
        average.copy_(buffer)
