"""Make the pictures of docs/check.md: python docs/images/check.py"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from sgtool.datasets.detail import detail, sharpness
from sgtool.datasets.duplicates import compare
from sgtool.datasets.findings import ROW, measure

SIDE, GAP, LINE = 128, 8, 16
RESIZE = Image.Resampling


def scene(side=256):
    """Noise with the spectrum of photographs, and ellipses."""
    random = np.random.RandomState(3)
    frequency = np.maximum(np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)), 1 / side)
    layers = [np.fft.irfft2(np.fft.rfft2(random.normal(size=[side, side])) / frequency**1.5) for _ in range(4)]
    layers = [layer / layer.std() for layer in layers]
    pixels = 128 + 40 * layers[0][..., None] + 15 * np.stack(layers[1:], axis=-1)
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    for _ in range(12):
        x, y, r = random.uniform(0, side, 3) * (1, 1, 0.12)
        ImageDraw.Draw(picture).ellipse([x - r, y - r, x + r, y + 2 * r], fill=tuple(random.randint(40, 216, 3).tolist()))
    return picture


def copies():
    """Changed copies: pictures, and lines under them."""
    first = scene()
    buffer = io.BytesIO()
    first.save(buffer, "JPEG", quality=10)
    ball = first.copy()
    ImageDraw.Draw(ball).ellipse((100, 100, 134, 134), fill="#ffffff")
    versions = {
        "original": first,
        "JPEG 10": Image.open(buffer),
        "half": first.resize((128, 128), RESIZE.LANCZOS),
        "brighter": ImageEnhance.Brightness(first).enhance(1.1),
        "rotated 0.5°": first.rotate(0.5, RESIZE.BICUBIC),
        "cropped 3 %": first.crop((8, 8, 248, 248)),
        "a ball": ball,
    }
    for name, picture in versions.items():
        rows = [np.frombuffer(measure(p).row(), ROW) for p in (first, picture)]
        alike, distance = compare(*rows, np.array([False]), 0.2)
        yield picture.convert("RGB").resize((SIDE, SIDE)), [name, f"{distance[0]:.2f}: {'a copy' if alike[0] else 'another'}"]


def blurred():
    """Blurred and enlarged versions."""
    first = scene()
    versions = {f"sigma {sigma}": first.filter(ImageFilter.GaussianBlur(sigma)) for sigma in (0, 0.5, 1, 2)}
    for k in (2, 4):
        versions[f"enlarged {k}x"] = first.resize((256 // k, 256 // k), RESIZE.LANCZOS).resize((256, 256), RESIZE.BICUBIC)
    for name, picture in versions.items():
        grey = np.asarray(picture.convert("L"))
        yield picture.crop((0, 0, SIDE, SIDE)), [name, f"sharpness {sharpness(grey):.1f}", f"detail {detail(grey):.2f}"]


def sheet(name, columns):
    """Write pictures in a row, with lines under each."""
    columns = list(columns)
    width, height = GAP + len(columns) * (SIDE + GAP), SIDE + 2 * GAP + LINE * max(len(lines) for _, lines in columns)
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for i, (picture, lines) in enumerate(columns):
        left = GAP + i * (SIDE + GAP)
        canvas.paste(picture, (left, GAP))
        for j, line in enumerate(lines):
            draw.text((left, GAP + SIDE + 2 + j * LINE), line, "#222222", font)
    canvas.save(Path(__file__).with_name(name), quality=80)


if __name__ == "__main__":
    sheet("check-copies.jpg", copies())
    sheet("check-detail.jpg", blurred())
