"""Pictures with the statistics of photographs, any number of them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw


def _photo(seed, width=256, height=256):
    """RGB picture: noise whose power falls with the third power of the frequency, and twelve ellipses with sharp edges."""
    random = np.random.RandomState(seed)
    frequency = np.maximum(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)), 1 / max(width, height))
    layers = []
    for _ in range(4):
        spectrum = np.fft.rfft2(random.normal(size=[height, width])) / frequency**1.5
        layer = np.fft.irfft2(spectrum, [height, width])
        layers.append(layer / layer.std())
    pixels = 128 + 40 * layers[0][..., None] + 15 * np.stack(layers[1:], axis=-1)
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(0.02, 0.1) * width
        draw.ellipse([x - radius, y - radius, x + radius, y + 2 * radius], fill=tuple(random.randint(40, 216, 3).tolist()))
    return picture


@pytest.fixture
def photo():
    """Function (seed, width=256, height=256) -> PIL image RGB, every seed another picture."""
    return _photo
