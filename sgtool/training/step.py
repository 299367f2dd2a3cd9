"""One training step: the phases Gmain, Greg, Dmain, Dreg, then the averages and the controller."""

from dataclasses import dataclass

import torch

from sgtool.training.losses import discriminator_loss, generator_loss, path_length_penalty, path_lengths, r1_penalty
from sgtool.training.schedules import ema_beta


@dataclass
class Batch:
    """Real pictures for one step.

    Attributes:
        images: float `[batch, C, H, W]` in [-1, 1].
        c: `[batch, c_dim]`, their labels.
        label_pool: all labels of the dataset, to draw those of generated pictures from: `[M]` class numbers or
            `[M, c_dim]` vectors; None = no labels.
    """

    images: torch.Tensor
    c: torch.Tensor
    label_pool: torch.Tensor | None = None


def train_step(state, config, batch, augment):
    """Train on one batch.

    Args:
        state: `TrainState`, moved on in place.
        config: `TrainConfig`.
        batch: `Batch` of config.batch pictures on the state's device.
        augment: callable (images, p) -> images, seen by D only.
    """
    for phase, network, optimizer, interval in (
        (g_main, state.G, state.opt_G, 1),
        (g_reg, state.G, state.opt_G, config.g_reg_interval if config.pl_weight else None),
        (d_main, state.D, state.opt_D, 1),
        (d_reg, state.D, state.opt_D, config.d_reg_interval if config.gamma else None),
    ):
        if interval is not None and state.step % interval == 0:
            run_phase(phase, network, optimizer, interval, state, config, batch, augment)
    update_average(state, config)
    state.ada.update(config.batch)
    state.meter.add("Progress/augment", state.ada.p)
    state.step += 1
    state.nimg += config.batch


def run_phase(phase, network, optimizer, interval, state, config, batch, augment):
    """Accumulate the gradient of one phase over the batch in parts of batch_gpu, and do its optimizer step.

    A regularizer that runs every `interval`-th step counts `interval` times.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    other = state.D if network is state.G else state.G
    frozen = [p for p in other.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    optimizer.zero_grad(set_to_none=True)
    parts = config.batch // config.batch_gpu
    for images, c in zip(batch.images.chunk(parts), batch.c.chunk(parts), strict=True):
        loss = phase(state, config, Batch(images, c, batch.label_pool), augment)
        (loss * (interval / parts)).backward()
    for parameter in frozen:
        parameter.requires_grad_(True)
    if gradients_are_finite(parameters):
        optimizer.step()
    else:
        state.nonfinite += 1


def gradients_are_finite(parameters):
    """Whether all gradients are finite numbers."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return not gradients or bool(torch.stack(torch._foreach_norm(gradients)).sum().isfinite())


def g_main(state, config, batch, augment):
    """Generator against discriminator."""
    fake, c = generate(state, config, batch, len(batch.images), update_w_avg=True)
    logits = state.D(augment(fake, state.ada.p), c)
    state.meter.add("Loss/scores/fake", logits)
    state.meter.add("Loss/signs/fake", logits.sign())
    loss = generator_loss(logits)
    state.meter.add("Loss/G/loss", loss)
    return loss


def g_reg(state, config, batch, augment):
    """Path length regularization, on a part of the batch."""
    count = max(len(batch.images) // config.pl_batch_shrink, 1)
    z, c = draw_latents(state, batch, count)
    ws = draw_styles(state, config, z, c)
    noise = torch.randn([count, *batch.images.shape[1:]], device=state.device) / (batch.images[0, 0].numel() ** 0.5)
    lengths = path_lengths(state.G.synthesis, ws, noise)
    penalty, mean = path_length_penalty(lengths, state.pl_mean, config.pl_decay)
    state.pl_mean = torch.where(mean.isfinite(), mean, state.pl_mean)  # the step is left out, and must leave no trace here
    state.meter.add("Loss/pl_penalty", penalty)
    loss = penalty.mean() * config.pl_weight
    state.meter.add("Loss/G/reg", loss)
    return loss


def d_main(state, config, batch, augment):
    """Discriminator against generator."""
    with torch.no_grad():
        fake, c = generate(state, config, batch, len(batch.images))
    both = augment(torch.cat([fake, batch.images]), state.ada.p)
    fake_logits, real_logits = state.D(both, torch.cat([c, batch.c]), parts=2).chunk(2)
    state.ada.observe(real_logits)
    state.meter.add("Loss/scores/real", real_logits)
    state.meter.add("Loss/signs/real", real_logits.sign())
    loss = discriminator_loss(fake_logits, real_logits)
    state.meter.add("Loss/D/loss", loss)
    return loss


def d_reg(state, config, batch, augment):
    """R1 regularization; its gradient passes through the augmentation."""
    penalty = r1_penalty(lambda img, c: state.D(augment(img, state.ada.p), c), batch.images, batch.c)
    state.meter.add("Loss/r1_penalty", penalty)
    loss = penalty.mean() * (config.gamma / 2)
    state.meter.add("Loss/D/reg", loss)
    return loss


def generate(state, config, batch, count, update_w_avg=False):
    """Make `count` pictures from new latents, with style mixing. Returns (pictures, labels)."""
    z, c = draw_latents(state, batch, count)
    ws = draw_styles(state, config, z, c, update_w_avg)
    return state.G.synthesis(ws), c


def draw_latents(state, batch, count):
    """Draw z `[count, z_dim]`, and labels c `[count, c_dim]` from the dataset's."""
    z = torch.randn([count, state.G.z_dim], device=state.device)
    if batch.label_pool is None:
        return z, torch.zeros([count, 0], device=state.device)
    labels = batch.label_pool[torch.randint(len(batch.label_pool), [count], device=state.device)]
    return z, labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, state.G.c_dim).float()


def draw_styles(state, config, z, c, update_w_avg=False):
    """Map z and c to ws; with probability `style_mixing_prob`, rows from a random layer on come from other latents.

    StyleGAN (Karras et al. 2019), section 3.1.
    """
    ws = state.G.mapping(z, c, update_w_avg=update_w_avg)
    if config.style_mixing_prob > 0 and float(torch.rand([])) < config.style_mixing_prob:
        cut = int(torch.randint(1, ws.shape[1], []))
        other = state.G.mapping(torch.randn_like(z), c)
        ws = torch.cat([ws[:, :cut], other[:, cut:]], dim=1)
    return ws


@torch.no_grad()
def update_average(state, config):
    """Move G_ema towards G: parameters by the decay of this step, buffers as they are."""
    beta = ema_beta(config.batch, config.ema_kimg, state.nimg, config.ema_rampup)
    torch._foreach_lerp_(list(state.G_ema.parameters()), list(state.G.parameters()), 1 - beta)
    for average, buffer in zip(state.G_ema.buffers(), state.G.buffers(), strict=True):
        average.copy_(buffer)
