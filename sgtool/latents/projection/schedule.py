"""How learning rate and noise go over a projection. StyleGAN2 (Karras et al. 2020), appendix D."""

import math


def learning_rate(step, settings):
    """Return the learning rate of a step.

    It rises in a straight line over the first steps, and falls to zero as half a cosine wave over the last.

    Args:
        step: from 0.
        settings: `Settings`.
    """
    done = step / settings.num_steps
    rising = done / settings.lr_rampup_length if done < settings.lr_rampup_length else 1.0
    left = 1.0 - done
    falling = left / settings.lr_rampdown_length if left < settings.lr_rampdown_length else 1.0
    return settings.initial_learning_rate * rising * (1 - math.cos(math.pi * falling)) / 2


def noise_scale(step, settings):
    """Return the standard deviation of what is added to w at a step, in spreads of w: it falls as a parabola to zero."""
    end = settings.noise_ramp_length * settings.num_steps
    return settings.initial_noise_factor * (1 - step / end) ** 2 if step < end else 0.0


def rampdown_step(settings):
    """Return the step with which the learning rate begins to fall and no more noise is added to w."""
    fraction = max(1 - settings.lr_rampdown_length, settings.noise_ramp_length)
    return min(math.ceil(settings.num_steps * min(fraction, 1.0)), settings.num_steps)
