"""Faces in pictures: found with dlib, with 68 landmarks each, from which `align` makes a square portrait.

Detection: dlib's frontal face detector, histograms of oriented gradients (N. Dalal and B. Triggs, 2005) scanned at many
scales. Landmarks: V. Kazemi and J. Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees (2014),
trained on iBUG 300-W.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sgtool.datasets.alignment import align, face_square
from sgtool.datasets.landmarks import LICENCE, check_file, installed_file
from sgtool.datasets.transforms import to_8_bit, to_channels
from sgtool.errors import UserError

__all__ = ["LICENCE", "WHICH", "Detector", "Face", "align", "detect", "face_square", "shared_detector"]

WHICH = ("all", "largest")
WINDOW = 80  # pixels: side of the smallest face that the detector sees
MOST_PIXELS = 16_000_000  # of the picture that is searched


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        box: (left, top, right, bottom), whole pixels; right and bottom are the last ones inside. It may leave the picture.
        landmarks: int `[68, 2]`, x and y in pixels, in the order of iBUG 300-W: jaw 0 to 16, brows 17 to 26, nose 27 to
            35, eyes 36 to 47, mouth 48 to 67.
        score: how sure the detector is, above 0; false ones are rare above 1.
    """

    box: tuple
    landmarks: np.ndarray
    score: float

    @property
    def size(self):
        """The shorter side of the box in pixels."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1]) + 1


class Detector:
    """dlib's face detector and landmark model, read once.

    Args:
        landmarks: file of a landmark model with 68 points; None takes the installed one. A file that is named is checked
            first, see `landmarks.check_file`.
    Raises:
        UserError: dlib is not installed, or the file is not there or no such model.
    """

    def __init__(self, landmarks=None):
        self._dlib = _dlib()
        if landmarks is None:
            landmarks = installed_file()
        else:
            check_file(landmarks)
        try:
            self._predictor = self._dlib.shape_predictor(str(landmarks))
        except (RuntimeError, MemoryError) as error:
            raise UserError(f"{landmarks} cannot be read by dlib ({error}). Give another file with --landmarks.") from error
        self._frontal = self._dlib.get_frontal_face_detector()

    def detect(self, picture, min_face=0, which="all", threshold=0.0):
        """Find faces.

        The picture is enlarged twice for the search, which finds faces from about 40 pixels on. It is not enlarged if
        it has more than 4 million pixels, or if `min_face` is 80 or more, which is four times as fast; above 16 million
        pixels it is shrunk to these. Landmarks are those of the picture itself.

        Args:
            picture: PIL image of any mode (see `transforms.to_8_bit`); transparent parts are seen on white.
            min_face: leave out faces whose box has a shorter side, in pixels.
            which: "all" or "largest", that with the largest box.
            threshold: least score. Below 0 more is found, and more that is no face.
        Returns:
            list of `Face`, in dlib's order: the highest score first.
        Raises:
            Skip: the picture's values have no known range.
        """
        if which not in WHICH:
            raise ValueError(f"which must be one of {', '.join(WHICH)}, not {which!r}")
        picture, _ = to_8_bit(picture)
        if picture.mode != "L":
            picture, _ = to_channels(picture, 3, None)
        pixels = np.ascontiguousarray(picture)
        found = [
            Face(box, self._landmarks(pixels, box), score) for box, score in self._boxes(picture, pixels, min_face, threshold)
        ]
        if which == "largest":
            found = sorted(found, key=_area)[-1:]
        return found

    def _boxes(self, picture, pixels, min_face, threshold):
        """Yield (box, score) of the faces that are large enough."""
        scale = search_scale(picture.size, min_face)
        if scale < 1:
            size = [max(1, round(n * scale)) for n in picture.size]
            pixels = np.ascontiguousarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
            scales = [a / b for a, b in zip(size, picture.size, strict=True)]
        boxes, scores, _ = self._frontal.run(pixels, 1 if scale == 2 else 0, threshold)
        for rectangle, score in zip(boxes, scores, strict=True):
            box = (rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom())
            if scale < 1:
                ends = (box[0], box[1], box[2] + 1, box[3] + 1)
                left, top, right, bottom = (round(n / scales[i % 2]) for i, n in enumerate(ends))
                box = (left, top, right - 1, bottom - 1)
            if min(box[2] - box[0], box[3] - box[1]) + 1 >= min_face:
                yield box, score

    def _landmarks(self, pixels, box):
        shape = self._predictor(pixels, self._dlib.rectangle(*box))
        return np.array([(point.x, point.y) for point in shape.parts()])


def search_scale(size, min_face=0):
    """Tell how the picture is scaled for the search: 2 (enlarged), 1 (as it is) or less.

    Args:
        size: (width, height) of the picture.
        min_face: side of the smallest face that is wanted, in pixels.
    """
    most = math.sqrt(MOST_PIXELS / (size[0] * size[1]))
    if most < 1:
        return most
    return 2 if most >= 2 and min_face < WINDOW else 1


def _area(face):
    left, top, right, bottom = face.box
    return (right - left + 1) * (bottom - top + 1)


def _dlib():
    try:
        import dlib
    except ImportError as error:
        raise UserError(f'Finding faces needs dlib, which is not here ({error}). Run: pip install "sgtool[faces]"') from error
    return dlib


@functools.lru_cache(maxsize=1)
def shared_detector(landmarks=None):
    """Return the `Detector` of this process for a landmark file (text or None); it is read when first asked for."""
    return Detector(landmarks)


def detect(picture, landmarks=None, min_face=0, which="all", threshold=0.0):
    """Find faces with this process's detector (see `Detector`)."""
    return shared_detector(landmarks).detect(picture, min_face, which, threshold)
