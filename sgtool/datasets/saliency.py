"""Where in a picture there is most to see: the place for a crop, found from the picture's spectrum, with no network.

The image signature of X. Hou, J. Harel and C. Koch: Image Signature: Highlighting Sparse Salient Regions (2012), the
successor of the spectral residual of X. Hou and L. Zhang (2007): of the picture's discrete cosine transform only the signs
are kept. Transformed back, that is large where something stands out from a background which repeats or varies slowly.
"""

import numpy as np
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

LONG_SIDE = 96  # pixels of the map: coarser than any detail, so that objects count and not their edges
BLUR = 0.045  # of the map's long side: standard deviation
FLAT = 1.5  # levels of 255: a channel that varies less than this shows noise only
CENTRE = 0.1  # share of its score that a crop at the very edge loses: between equals, the middle wins


def saliency_map(image):
    """Tell how much each place of a picture stands out.

    Each channel x of YCbCr gives blur(idct(sign(dct(x)))^2), scaled to a sum of 1 and weighted by the standard deviation of x.

    Args:
        image: PIL image of mode L, RGB or RGBA.
    Returns:
        float64 `[h, w]`, the picture's proportions with at most `LONG_SIDE` pixels a side; its sum is 1, or 0 if there is
        nothing to see. Transparent pixels show nothing.
    """
    scale = min(1, LONG_SIDE / max(image.size))
    size = tuple(max(1, round(n * scale)) for n in image.size)
    total = np.zeros(size[::-1])
    for channel in _channels(image, size):
        weight = channel.std()
        if weight > FLAT:
            stands_out = gaussian_filter(_signature(channel) ** 2, BLUR * max(size), mode="nearest")
            total += weight * stands_out / stands_out.sum()
    return total / total.sum() if total.any() else total


def _channels(image, size):
    """The channels of a small copy, float64 `[h, w]` each; what is transparent is laid over mid-grey."""
    if image.mode == "RGBA":
        opaque = Image.new("RGB", image.size, (128, 128, 128))
        opaque.paste(image.convert("RGB"), mask=image.getchannel("A"))
        image = opaque
    small = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    small = small if small.mode == "L" else small.convert("YCbCr")
    return np.asarray(small, np.float64).reshape(*size[::-1], -1).transpose(2, 0, 1)


def _signature(channel):
    spectrum = dctn(channel - channel.mean(), norm="ortho")
    spectrum[np.abs(spectrum) < 1e-6 * np.abs(spectrum).max()] = 0  # rounding errors have signs, too
    return idctn(np.sign(spectrum), norm="ortho")


def square_place(image):
    """Find where the largest square of a picture shows most.

    The score of a square is the saliency inside it, times 1 - `CENTRE` d^2 with d its distance from the middle (1 at the edge).

    Args:
        image: PIL image of mode L, RGB or RGBA.
    Returns:
        (x, y), each 0..1: the share of what is cut away that lies left of the square, and above it.
        (0.5, 0.5) for a picture that is square already, or shows nothing.
    """
    along = saliency_map(image).sum(axis=0 if image.width > image.height else 1)
    window = round(len(along) * min(image.size) / max(image.size))
    places = len(along) - window + 1
    if places < 2 or window < 1 or not along.any():
        return 0.5, 0.5
    inside = np.convolve(along, np.ones(window), "valid")
    distance = np.linspace(-1, 1, places)
    scores = np.round(inside * (1 - CENTRE * distance**2), 6)  # equal scores are equal on every processor
    best = np.flatnonzero(scores == scores.max())
    place = float(best[np.argmin(np.abs(distance[best]))]) / (places - 1)
    return (place, 0.5) if image.width > image.height else (0.5, place)
