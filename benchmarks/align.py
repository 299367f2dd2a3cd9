"""Faces aligned a second on one core, and the time to find them: ten faces on one picture of 2000x1500 pixels.

python benchmarks/align.py [--photos DIR]

The picture is laid out from the faces that are found in the photographs of a folder. Beside `align` as FFHQ was made, with 4096
samples along a side, and with as many as the faces need, stands PIL alone: sampling and filtering one square of 4096 samples.
"""

import argparse
import sys
import time
from pathlib import Path

import measure
import numpy as np
from PIL import Image

from sgtool.datasets.alignment import align, face_square
from sgtool.datasets.faces import Detector
from sgtool.errors import UserError

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "faces"
COLUMNS, ROWS, TILE = 5, 2, (400, 750)  # of the picture of 2000x1500
SIZE, SAMPLES = 1024, 4096


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=PHOTOS, metavar="DIR", help="JPEG or PNG files with faces")
    parser.add_argument("--face", type=int, default=200, help="width of the faces' boxes in pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="that count (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/align-DATE.json")
    parser.add_argument("--out", type=Path, default=measure.RESULTS, metavar="DIR", help="another folder for --json")
    return parser.parse_args(argv)


def mosaic(photos, detector, width):
    """Lay faces out on a picture of 2000x1500, the same ones again and again if there are too few.

    Returns:
        PIL image, or None if no face was found.
    """
    cut = []
    for path in photos:
        with Image.open(path) as photo:
            picture = photo.convert("RGB")
        for face in detector.detect(picture, threshold=0.5):
            cut.append(portrait(picture, face.box, width))
    if not cut:
        return None
    sheet = Image.new("RGB", (COLUMNS * TILE[0], ROWS * TILE[1]))
    for i in range(COLUMNS * ROWS):
        sheet.paste(cut[i % len(cut)], (i % COLUMNS * TILE[0], i // COLUMNS * TILE[1]))
    return sheet


def portrait(picture, box, width):
    """A tile with a face in its middle, its box `width` pixels wide; what the photograph lacks is black."""
    scale = (box[2] - box[0] + 1) / width
    half = np.array(TILE) * scale / 2
    centre = np.array([box[0] + box[2] + 1, box[1] + box[3] + 1]) / 2
    corners = np.concatenate([centre - half, centre + half])
    return picture.crop([round(n) for n in corners]).resize(TILE, Image.Resampling.BICUBIC)


def pil_alone(picture, square):
    """What the definition costs at least: its sampling and its filter."""
    quad = tuple((square.corners + 0.5).ravel())
    samples = picture.transform((SAMPLES, SAMPLES), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    return samples.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def cpu_seconds_of(variants, rounds):
    """Like `measure.seconds_of`, in seconds of a core: what other programs do meanwhile does not count."""
    times = {name: [] for name in variants}
    for i in range(1 + rounds):
        for name, call in variants.items():
            start = time.process_time()
            call()
            if i > 0:
                times[name].append(time.process_time() - start)
    return times


def main(argv=None):
    args = arguments(argv)
    photos = sorted(path for path in args.photos.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not photos:
        sys.exit(
            f"No photographs in {args.photos}: nothing is measured. Give a folder of JPEG or PNG files with faces: --photos DIR"
        )
    try:
        detector = Detector()
    except UserError as error:
        sys.exit(error.message)
    picture = mosaic(photos, detector, args.face)
    if picture is None:
        sys.exit(f"No face was found in {args.photos}: nothing is measured. Give other photographs: --photos DIR")
    faces = detector.detect(picture)
    squares = [face_square(face.landmarks) for face in faces]
    times = cpu_seconds_of(
        {
            "align, 4096 samples": lambda: [align(picture, face.landmarks, SIZE, SAMPLES) for face in faces],
            "align, enough samples": lambda: [align(picture, face.landmarks, SIZE, None) for face in faces],
            "PIL alone, 4096 samples": lambda: [pil_alone(picture, square) for square in squares],
            "finding, enlarged": lambda: detector.detect(picture),
            "finding, as it is": lambda: detector.detect(picture, min_face=80),
        },
        args.rounds,
    )
    results = {"faces": len(faces), "sides": [round(square.side) for square in squares]}
    for name, seconds in times.items():
        results[name] = {
            "seconds": measure.spread(seconds),
            "faces_per_s": measure.spread([len(faces) / s for s in seconds]),
            "ratio": measure.ratio(times["PIL alone, 4096 samples"], seconds),
        }
    print(f"{len(faces)} faces, squares of {min(results['sides'])} to {max(results['sides'])} pixels")
    rows = [
        (name, *(f"{results[name][key]['median']:.2f}" for key in ("seconds", "faces_per_s")), f"{results[name]['ratio']:.2f}")
        for name in times
    ]
    measure.print_table(["", "core seconds", "faces/s", "speed beside PIL alone"], rows)
    measure.report("align", vars(args), results, args.json, args.out)


if __name__ == "__main__":
    main()
