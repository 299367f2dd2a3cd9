"""Numbers that follow from other numbers: decay of the average, Adam's correction, defaults of a preset."""


def ema_beta(batch, ema_kimg, nimg, ema_rampup):
    """Decay of G_ema for one step: 0.5 ** (batch / half-life in pictures).

    The half-life is `ema_kimg` thousand pictures, early in the training at most `ema_rampup` times the pictures so far.
    StyleGAN2-ADA (Karras et al. 2020), appendix C.

    Args:
        batch: pictures in a step.
        ema_kimg: half-life in thousands of pictures; 0 = no averaging.
        nimg: pictures so far.
        ema_rampup: share, None = no ramp.
    Returns:
        Share of the average that is kept, in [0, 1).
    """
    half_life = ema_kimg * 1000
    if ema_rampup is not None:
        half_life = min(half_life, nimg * ema_rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


def lazy_adam(lr, betas, interval):
    """Adam's learning rate and betas for a network that is regularized with every `interval`-th step.

    The regularizer's step is an extra one, so k + 1 steps must do what k did: lr * c and betas ** c with c = k / (k + 1).
    StyleGAN2 (Karras et al. 2020), appendix B.

    Args:
        lr: learning rate without lazy regularization.
        betas: pair.
        interval: k, in steps; None = not regularized.
    Returns:
        (lr, betas).
    """
    if interval is None:
        return lr, tuple(betas)
    c = interval / (interval + 1)
    return lr * c, tuple(beta**c for beta in betas)


def auto_batch(resolution, gpus=1):
    """Batch size of the preset `auto`: max(min(gpus * min(4096 // resolution, 32), 64), gpus)."""
    return max(min(gpus * min(4096 // resolution, 32), 64), gpus)


def auto_gamma(height, width, batch):
    """R1 weight of the preset `auto`: 0.0002 * height * width / batch (pixels, pictures)."""
    return 0.0002 * height * width / batch


def auto_ema_kimg(batch):
    """Half-life of G_ema of the preset `auto`, in thousands of pictures: batch * 10 / 32."""
    return batch * 10 / 32
