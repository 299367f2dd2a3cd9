"""The wavelet filters of the augmentation pipe."""

import math

import torch

# Low-pass filters of Daubechies' least asymmetric wavelets ("symlets") with 2 and 6 vanishing moments; squares sum to 1.
# Daubechies, Ten Lectures on Wavelets (1992): section 6.1 for the closed form, table 6.3 for the numbers.
_ROOT3 = math.sqrt(3)
SYM2 = tuple(value / (4 * math.sqrt(2)) for value in (1 - _ROOT3, 3 - _ROOT3, 3 + _ROOT3, 1 + _ROOT3))
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip


def resampling_filter():
    """Give the filter that the geometry up-samples and down-samples with: sym6, brought to the sum 1. `[12]` float32."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return (taps / taps.sum()).float()


def filter_bank():
    """Give four filters that split a signal into octaves and sum to a single 1 in the middle.

    L and H are the autocorrelations of sym2 and of its mirror high-pass, halved: zero phase, L + H = 1. With x(k) = x with
    k - 1 zeros between its taps, the bands are L L(2) L(4), L L(2) H(4), L H(2) and H: from [0, pi/8] up to [pi/2, pi].
    Karras et al., Training GANs with limited data (2020), appendix B.

    Returns:
        `[4, 43]` float32, low frequencies first, each band centred.
    """
    low_pass = torch.tensor(SYM2, dtype=torch.float64)
    high_pass = low_pass * torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    low, high = (_convolve(half, half.flip(0)) / 2 for half in (low_pass, high_pass))
    low2, low4 = _spread(low, 2), _spread(low, 4)
    high2, high4 = _spread(high, 2), _spread(high, 4)
    bands = [_convolve(_convolve(low, low2), low4), _convolve(_convolve(low, low2), high4), _convolve(low, high2), high]
    length = len(bands[0])
    return torch.stack([torch.nn.functional.pad(band, [(length - len(band)) // 2] * 2) for band in bands]).float()


def _convolve(a, b):
    return torch.nn.functional.conv1d(a[None, None], b.flip(0)[None, None], padding=len(b) - 1)[0, 0]


def _spread(taps, factor):
    spread = taps.new_zeros((len(taps) - 1) * factor + 1)
    spread[::factor] = taps
    return spread
