"""The embedded pictures."""

from pathlib import Path

import numpy as np

from sgtool.datasets.sources.pictures import ArrayPicture
from sgtool.datasets.sources.source import Source
from sgtool.errors import UserError

DIGITS = Path(__file__).parents[1] / "digits.npz"


def demo_source(name):
    """`demo:digits`: 1,797 handwritten digits, grey, 8x8, with their labels.

    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998), CC BY 4.0.
    The 17 grey levels 0..16 are scaled to 0..255.
    """
    if name != "demo:digits":
        raise UserError(f"{name} is not known. The one embedded collection is demo:digits.")
    with np.load(DIGITS, allow_pickle=False) as file:
        levels, digits = file["images"], file["labels"]
    pictures = np.rint(levels * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # [N, 8, 8, 1]
    names = [f"digit{i:05d}.png" for i in range(len(pictures))]
    labels = {name: int(digit) for name, digit in zip(names, digits, strict=True)}
    return Source(names, lambda i: ArrayPicture(pictures[i]), labels=labels, class_names=[str(i) for i in range(10)])
