"""Draws the pictures of docs/prepare.md: one scene, and what each transform of `sgtool prepare` makes of it.

python docs/images/transforms.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sgtool.datasets.geometry import Conversion
from sgtool.datasets.transforms import convert_all

HERE = Path(__file__).parent
WIDTH, HEIGHT, SIDE, SHARPER = 360, 220, 120, 3  # pixels; drawn so many times larger, then reduced
EXAMPLES = {
    "none": Conversion((SIDE, SIDE)),
    "center-crop": Conversion((80, 120), "center-crop"),
    "center-crop-wide": Conversion((120, 72), "center-crop-wide"),
    "center-crop-tall": Conversion((80, 120), "center-crop-tall"),
    "square-crop": Conversion((SIDE, SIDE), "square-crop"),
    "square-crop-saliency": Conversion((SIDE, SIDE), "square-crop", focus="saliency"),
    "pad": Conversion((SIDE, SIDE), "pad", background=(99, 133, 150, 255)),
    "tile": Conversion((SIDE, SIDE), "tile", overlap=10),
}


def scene():
    """A balloon over hills in the evening, PIL image RGB."""
    width, height = WIDTH * SHARPER, HEIGHT * SHARPER
    y, x = np.mgrid[:height, :width] / height
    sky = np.array([250, 200, 150]) * y[..., None] + np.array([90, 140, 200]) * (1 - y[..., None])
    rng = np.random.RandomState(4)
    for i, colour in enumerate([(120, 130, 150), (84, 104, 96), (52, 76, 58)]):
        ridge = 0.66 + 0.12 * i + sum(0.05 / k * np.sin(x * k * 3.3 + rng.uniform(0, 7)) for k in (1, 2, 5, 11))
        sky[y > ridge] = colour
    image = Image.fromarray(sky.clip(0, 255).astype(np.uint8))
    _balloon(image, (int(0.82 * width), int(0.34 * height)), height // 5)
    return image.filter(ImageFilter.GaussianBlur(1)).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _balloon(image, centre, radius):
    draw, (x, y) = ImageDraw.Draw(image), centre
    for end in (-0.7, 0.7):
        draw.line([x + end * radius, y + 0.7 * radius, x + end * 0.2 * radius, y + 1.7 * radius], fill=(70, 50, 40), width=3)
    colours = [(200, 40, 50), (245, 235, 220), (230, 150, 40), (245, 235, 220)]
    for i in range(8):
        half = radius * np.cos(np.pi * i / 16)
        draw.ellipse([x - half, y - radius, x + half, y + 1.15 * radius], fill=colours[i % 4])
    draw.rectangle([x - 0.2 * radius, y + 1.6 * radius, x + 0.2 * radius, y + 1.9 * radius], fill=(120, 80, 50))


def sheet(tiles, gap=6):
    """Lay tiles out as they lie in the picture, with a gap between them."""
    places = [tuple(map(int, suffix[2:].split("y"))) for suffix, _, _ in tiles]
    columns, rows = (sorted({place[axis] for place in places}) for axis in (0, 1))
    canvas = Image.new("RGB", [len(side) * (SIDE + gap) - gap for side in (columns, rows)], "white")
    for (x, y), (_, pixels, _) in zip(places, tiles, strict=True):
        canvas.paste(Image.fromarray(pixels), (columns.index(x) * (SIDE + gap), rows.index(y) * (SIDE + gap)))
    return canvas


def main():
    image = scene()
    image.save(HERE / "prepare-source.jpg", quality=88)
    for name, conversion in EXAMPLES.items():
        made = convert_all(image, conversion)
        picture = sheet(made) if conversion.transform == "tile" else Image.fromarray(made[0][1])
        picture.save(HERE / f"prepare-{name}.jpg", quality=88)


if __name__ == "__main__":
    main()
