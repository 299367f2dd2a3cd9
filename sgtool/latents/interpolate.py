"""Between latents: linear, along great circles, by cubic splines, and endless loops of noise. Arrays in, arrays out."""

import numpy as np


def lerp(a, b, t):
    """Return a + t (b - a), the straight line from a to b.

    Args:
        a, b: `[..., D]`.
        t: `[...]` or a number; 0 gives a, 1 gives b.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a + np.asarray(t, np.float64)[..., np.newaxis] * (b - a)


def slerp(a, b, t):
    """Turn from the direction of a to that of b at constant speed, the length going evenly from |a| to |b|.

    With unit vectors u = a/|a|, v = b/|b| and the angle o between them, the direction is
    (sin((1 - t) o) u + sin(t o) v) / sin(o): Shoemake, Animating Rotation with Quaternion Curves (1985), section 3.3.
    For latents in Z see White, Sampling Generative Networks (2016), section 2.1. Where it is not defined, which is
    where one of the two is 0 or they point in opposite directions, the straight line is taken.

    Args:
        a, b: `[..., D]`.
        t: `[...]` or a number; 0 gives a, 1 gives b.
    Returns:
        `[..., D]` float64.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    t = np.asarray(t, np.float64)[..., np.newaxis]
    lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    u, v = (x / np.where(length > 0, length, 1) for x, length in zip((a, b), lengths, strict=True))
    # The angle from chords: exact for small ones too, where the cosine is not.
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=-1, keepdims=True), np.linalg.norm(u + v, axis=-1, keepdims=True))
    sine = np.sin(angle)
    defined = (sine > 1e-8) & (lengths[0] > 0) & (lengths[1] > 0)
    divisor = np.where(defined, sine, 1)
    turned = np.sin((1 - t) * angle) / divisor * u + np.sin(t * angle) / divisor * v
    return np.where(defined, turned * ((1 - t) * lengths[0] + t * lengths[1]), a + t * (b - a))


class Path:
    """A way through keyframes. Time is counted in keyframes: it is at keyframe i at time i."""

    def __init__(self, keyframes, kind="cubic", loop=True, centre=None):
        """Lay it.

        "linear" and "slerp" go from each to the next; "cubic" is the spline whose second derivative is continuous: closed, if
        it is a loop, and else with no curvature at both ends. NVIDIA's gen_video strings the keyframes together five times
        and takes the middle; the closed spline is what that comes to with more and more of them.

        Args:
            keyframes: `[N, ..., D]`.
            kind: "linear", "slerp" or "cubic".
            loop: from the last, go back to the first.
            centre: `[D]`, about which "slerp" turns; None = 0.
        """
        from scipy.interpolate import CubicSpline  # here, because it is slow to import

        self.keys, self.kind = np.asarray(keyframes, np.float64), kind
        self.centre = 0.0 if centre is None else np.asarray(centre, np.float64)
        self.length = len(self.keys) if loop else len(self.keys) - 1  # in keyframes
        if loop:
            self.keys = np.concatenate([self.keys, self.keys[:1]])
        if kind not in ("linear", "slerp", "cubic"):
            raise ValueError(f"kind {kind!r} is none of linear, slerp and cubic")
        if len(self.keys) < 2:
            raise ValueError("a path that is no loop needs two keyframes")
        if kind == "cubic":
            ends = "periodic" if loop else "natural"
            self.spline = CubicSpline(np.arange(len(self.keys)), self.keys, bc_type=ends)

    def at(self, time):
        """Return where it is at `time`, 0..length: `[..., D]` float64."""
        if self.kind == "cubic":
            return self.spline(time)
        first = min(int(time), len(self.keys) - 2)
        a, b = self.keys[first], self.keys[first + 1]
        if self.kind == "linear":
            return lerp(a, b, time - first)
        return self.centre + slerp(a - self.centre, b - self.centre, time - first)


class NoiseLoop:
    """A closed walk in Z: each number of z is a smooth periodic Gaussian process, standard normal at any time.

    It is white noise on a circle, smoothed by a Gaussian filter of standard deviation s (a fraction of the circle), as NVIDIA's
    videos of Progressive GAN (Karras et al. 2018) walk through Z. There the filter runs over frames; here it is a Fourier
    series, so that a seed is the same way at any frame rate, and its mean over the loop is left out, so that it moves however
    short the loop is: with much smoothing it is one circle. With a[k], b[k] standard normal,
        z(t) = sum over k = 1..K of g[k] (a[k] cos(2 pi k t) + b[k] sin(2 pi k t)),
        g[k]^2 ~ exp(-(2 pi k s)^2),  sum of g^2 = 1.
    """

    def __init__(self, seed, z_dim, smooth):
        """Draw it.

        Args:
            seed: whole number; the same seed is the same way at any frame rate.
            z_dim: length of z.
            smooth: s, more than 0; there are about 0.5 / s waves.
        """
        number = max(1, int(np.ceil(3.1 / (2 * np.pi * smooth))))  # the power of the others is below exp(-9.6)
        waves = np.arange(1, number + 1)
        power = np.exp(-((2 * np.pi * smooth) ** 2) * (waves**2 - 1.0))
        gains = np.sqrt(power / power.sum())[:, np.newaxis]
        a, b = np.random.RandomState(seed).randn(number, 2, z_dim).transpose(1, 0, 2)
        self.waves, self.a, self.b = waves, gains * a, gains * b

    def at(self, t):
        """Return z at t, 0..1: `[z_dim]` float64."""
        angles = 2 * np.pi * t * self.waves
        return np.cos(angles) @ self.a + np.sin(angles) @ self.b
