"""Losses and regularizers: functions of networks and tensors that log nothing and call no `backward`."""

import torch
import torch.nn.functional as F


def generator_loss(fake_logits):
    """Non-saturating logistic loss of the generator: mean of log(1 + exp(-D(G(z)))).

    Goodfellow et al. 2014, section 3.

    Args:
        fake_logits: `[N, 1]`, D's output for generated pictures.
    Returns:
        Scalar.
    """
    return F.softplus(-fake_logits).mean()


def discriminator_loss(fake_logits, real_logits):
    """Logistic loss of the discriminator: mean of log(1 + exp(D(G(z)))) + mean of log(1 + exp(-D(x))).

    Goodfellow et al. 2014, equation 1.

    Args:
        fake_logits, real_logits: `[N, 1]`, D's output for generated and for real pictures.
    Returns:
        Scalar.
    """
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


def r1_penalty(D, real, c):
    """Squared length of D's gradient at real pictures: |grad_x D(x, c)|^2.

    The regularizer is gamma / 2 times its mean. Mescheder et al. 2018, equation 9.

    Args:
        D: callable (img, c) -> logits `[N, 1]`.
        real: `[N, C, H, W]`.
        c: `[N, c_dim]`, or None.
    Returns:
        `[N]`, differentiable with respect to D's parameters.
    """
    real = real.detach().requires_grad_(True)
    logits = D(real, c)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum([1, 2, 3])


def path_lengths(synthesis, ws, noise):
    """Length of the generator's Jacobian along a random direction of the picture: |J_w^T y|.

    J_w^T y is the gradient of sum(G(w) * y) with respect to w; its square is summed over w_dim and averaged over layers.
    StyleGAN2 (Karras et al. 2020), section 3.2 and appendix B.

    Args:
        synthesis: callable ws -> pictures `[N, C, H, W]`.
        ws: `[N, num_ws, w_dim]`, each row its own input; must require gradients.
        noise: y, `[N, C, H, W]`: unit Gaussian divided by sqrt(H * W).
    Returns:
        `[N]`, differentiable with respect to the parameters of `synthesis` and to whatever `ws` was made by.
    """
    if not ws.requires_grad:
        ws = ws.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad((synthesis(ws) * noise).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths, pl_mean, pl_decay, batch_mean=None):
    """Squared deviation of path lengths from their running mean, and that mean moved on.

    The new mean enters the penalty with its gradient, as in the published implementation.

    Args:
        lengths: `[N]`, from `path_lengths`.
        pl_mean: scalar tensor, the running mean so far.
        pl_decay: share of the way that it moves towards the batch's mean, in [0, 1].
        batch_mean: mean length in the whole batch, detached, where `lengths` are a part of it; values and gradients are then
            those of the whole batch.
    Returns:
        (penalty `[N]`, new pl_mean, detached).
    """
    if batch_mean is None:
        mean = pl_mean.lerp(lengths.mean(), pl_decay)
        return (lengths - mean).square(), mean.detach()
    mean = pl_mean.lerp(batch_mean, pl_decay)
    through_mean = 2 * pl_decay * (batch_mean - mean) * (lengths - lengths.detach())  # what the mean's own gradient comes to
    return (lengths - mean).square() - through_mean, mean
