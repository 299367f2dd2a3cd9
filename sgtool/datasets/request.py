"""What is asked of a run: the options that decide what the dataset holds."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sgtool.datasets.geometry import Conversion, check_conversion
from sgtool.datasets.jobs import FACE_SIDE, FaceOptions
from sgtool.datasets.transforms import parse_colour
from sgtool.errors import UserError


@dataclass(frozen=True)
class Request:
    """Options of `prepare`.

    Attributes:
        resolution: (width, height) in pixels, or a list of them for as many datasets; None keeps the size, which must then
            be the same for all.
        width, height: NVIDIA's way to say the same; one of them alone keeps the other side.
        transform: one of `geometry.TRANSFORMS`.
        focus: of square-crop: "center" or "saliency".
        overlap: pixels that neighbouring tiles share (transform "tile").
        resize_filter: "lanczos", "box", "bicubic" or "nearest".
        channels: "auto" (1 if every file is grey, otherwise 3), 1, 3 or 4.
        background: colour under transparent pixels and around padded pictures, as text.
        labels: "auto", "none", "folders", or a file (see `labels.read_labels`).
        label_regex: pattern whose first group, found in a picture's name, is its class.
        unlabelled: "refuse" or "drop" pictures without a label.
        max_images: look at the first so many pictures only.
        tile: (width, height) of the tiles if the source is a sprite sheet.
        frames: of animations and many-page files, "first" or "all".
        every: of videos, every so many frames.
        align: "faces" cuts faces out, upright; None takes whole pictures.
        faces: "all" faces of a picture, or the "largest".
        min_face: shorter side of a face's box in pixels, at least.
        landmarks: file of the landmark model; None is the installed one.
        faces_sheet: file of the contact sheet with the faces that were found, or None.
        holdout: share ("5%") or number ("200") of pictures for a second dataset, or None.
        drop: findings whose pictures are left out, such as "duplicates" (see `check`).
        strict: raise at the first picture that cannot be read, instead of leaving it out.
    """

    resolution: tuple | list | None = None
    width: int | None = None
    height: int | None = None
    transform: str = "none"
    focus: str = "center"
    overlap: int = 0
    resize_filter: str = "lanczos"
    channels: str | int = "auto"
    background: str | None = None
    labels: str = "auto"
    label_regex: str | None = None
    unlabelled: str = "refuse"
    max_images: int | None = None
    tile: tuple | None = None
    frames: str = "first"
    every: int | None = None
    align: str | None = None
    faces: str = "all"
    min_face: int = 0
    landmarks: str | None = None
    faces_sheet: str | None = None
    holdout: str | None = None
    drop: tuple = ()
    strict: bool = False

    @property
    def measured(self):
        """Whether the pictures are compared: to drop some, and to hold copies out together."""
        return bool(self.drop) or self.holdout is not None

    def as_dict(self):
        """The options as plain values, for prepare.json."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    def sizes(self):
        """(width, height) of each resolution; None in either place keeps that side."""
        if self.resolution is None:
            size = (self.width, self.height)
            return [(FACE_SIDE, FACE_SIDE) if self.align == "faces" and size == (None, None) else size]
        sizes = list(self.resolution) if _is_list(self.resolution) else [self.resolution]
        return [tuple(size) for size in sizes]

    def conversions(self):
        """`Conversion` for each resolution. Channels are settled later if they are "auto".

        Raises:
            UserError: the options contradict each other.
        """
        if self.resolution is not None and (self.width is not None or self.height is not None):
            raise UserError("--resolution and --width/--height say the same thing. Give one of them.")
        sizes = self.sizes()
        if len(set(sizes)) < len(sizes):
            raise UserError("--resolution names a size twice. Leave one of them.")
        colour = parse_colour(self.background) if self.background is not None else None
        channels = 3 if self.channels == "auto" else int(self.channels)
        first = Conversion((None, None), self.transform, self.resize_filter, channels, colour, self.focus, self.overlap)
        conversions = tuple(replace(first, size=size) for size in sizes)
        for conversion in conversions:
            check_conversion(conversion)
        return conversions

    def face_options(self):
        """`FaceOptions`, or None if whole pictures are taken.

        Raises:
            UserError: options of faces without `align`.
        """
        if self.align is None:
            given = {"--faces-sheet": self.faces_sheet, "--landmarks": self.landmarks, "--min-face": self.min_face}
            for option, value in given.items():
                if value:
                    raise UserError(f"{option} goes with --align faces. Add that, or leave {option} out.")
            return None
        landmarks = None if self.landmarks is None else os.path.abspath(self.landmarks)
        return FaceOptions(self.faces, self.min_face, landmarks, self.faces_sheet is not None)

    def check_sheet(self, force):
        """Raise `UserError` if the contact sheet would replace pictures that are there."""
        if self.faces_sheet is None or force:
            return
        path = Path(self.faces_sheet)
        others = [path, *path.parent.glob(f"{path.stem}-[0-9]*{path.suffix}")]
        for other in others:
            if other.exists():
                raise UserError(
                    f"--faces-sheet {path}: {other} already exists. Choose another name, or add --force to replace it."
                )


def _is_list(resolution):
    return len(resolution) > 0 and not isinstance(resolution[0], int)
