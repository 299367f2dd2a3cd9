"""The pictures to project: found in a file, a folder or an archive, and turned into what the network makes."""

import os
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sgtool.datasets.geometry import Conversion
from sgtool.datasets.jobs import FACE_SIDE, NO_FACE, picture_digest
from sgtool.datasets.sources import FilePicture, examine, full_size_of, is_picture_name, load, notes_of, open_source
from sgtool.datasets.transforms import Skip, convert, is_grey, to_8_bit
from sgtool.errors import UserError

WANTED = "Give a picture, or a folder or zip of pictures."
LONGEST_NAME = 120  # bytes: with what is added to it, a name stays below the 255 that file systems take
MODES = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}
TOLD = {
    "face": "with the face cut out", "cropped": "with the middle cut out", "resized": "resized", "enlarged": "enlarged",
    "coloured": "grey made RGB", "greyed": "in colour made grey", "transparent": "with transparency laid over {background}",
    "turned": "turned upright by their EXIF orientation",
    "icc": "with a colour profile, converted to sRGB", "icc ignored": "with a damaged colour profile, taken as sRGB",
    "exif ignored": "with damaged EXIF data, which are ignored", "16 bit": "with 16 bits a channel, scaled to 8",
    "float": "with floating-point values 0 to 1, scaled to 0 to 255",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What a picture is turned into before it is projected.

    Attributes:
        size: (width, height) of the network's pictures.
        channels: of the network's pictures, 1 to 4.
        background: RGBA, 0..255, under transparent pixels; None = white. Networks with alpha keep the transparency.
        faces: cut out the largest face, upright.
        landmarks: file of the landmark model, or None for the installed one.
    """

    size: tuple
    channels: int
    background: tuple | None = None
    faces: bool = False
    landmarks: str | None = None


@dataclass(frozen=True)
class Listing:
    """Pictures of a target that are not read yet."""

    pictures: list  # what `sources.load` takes
    sources: list  # what each is called where it comes from
    names: list  # what each is called in the names of files: safe, and no two alike
    single: bool  # the target is one picture, not a collection


@dataclass(frozen=True)
class Target:
    """A picture as the network would make it."""

    name: str
    source: str
    pixels: np.ndarray  # uint8 `[H, W, C]`
    sha256: str  # of the pixels, see `jobs.picture_digest`
    notes: tuple  # keys of `TOLD`


def list_targets(path, warn=warnings.warn):
    """Find the pictures of `--target`.

    Args:
        path: a picture, or what `sgtool prepare` reads: folder, zip, tar, dataset ...
        warn: called with the text of each warning.
    Returns:
        `Listing`, in the order of the names.
    Raises:
        UserError: there is nothing of the kind, or no picture in it.
    """
    path = str(path)
    if os.path.isfile(path) and _is_picture(path):
        return listing_of([path], single=True)
    if not os.path.exists(path) and "://" not in path and ":" not in path:
        raise UserError(f"--target {path} does not exist. {WANTED}")
    source = open_source(path)
    for text in source.warnings:
        warn(text)
    pictures = [source.picture(i) for i in range(len(source.names))]
    return Listing(pictures, list(source.names), safe_names(source.names), False)


def listing_of(paths, single=False):
    """Return the `Listing` of picture files."""
    sources = [os.path.basename(path) for path in paths]
    return Listing([FilePicture(str(path)) for path in paths], sources, safe_names(sources), single)


def _is_picture(path):
    if is_picture_name(os.path.basename(path)):
        return True
    try:
        examine(FilePicture(path))
    except Skip:
        return False
    return True


def safe_names(names):
    """Return for each name one that is safe as a part of a file's name, all different, on systems blind to case too.

    >>> safe_names(["a/x.png", "a/x.jpg", "b/X.png"])
    ['a-x', 'a-x-2', 'b-X']
    """
    taken, safe = set(), []
    for name in names:
        plain = os.path.splitext(name)[0].replace("/", "-")
        plain = "".join(sign if sign.isalnum() or sign in "-_.+@" else "_" for sign in plain).lstrip(".-") or "picture"
        plain = plain.encode("utf-8")[:LONGEST_NAME].decode("utf-8", "ignore")
        number, unique = 1, plain
        while unique.casefold() in taken:
            number += 1
            unique = f"{plain}-{number}"
        taken.add(unique.casefold())
        safe.append(unique)
    return safe


def read_target(listing, i, look):
    """Read one picture and turn it into what the network makes: the largest middle part of its shape, resized by Lanczos.

    Args:
        listing: `Listing`.
        i: which one.
        look: `Look`.
    Returns:
        `Target`.
    Raises:
        Skip: it cannot be read, or has no face; the text says why.
    """
    image = load(listing.pictures[i])
    notes, size = list(notes_of(image)), full_size_of(image)
    if look.faces:
        image = _face(image, look)
        notes.append("face")
    pixels, made = convert_picture(image, look)
    if look.size[0] * image.height != look.size[1] * image.width:
        notes.append("cropped")
    if not look.faces and size != look.size and "enlarged" not in made:
        notes.append("resized")
    return Target(listing.names[i], listing.sources[i], pixels, picture_digest(pixels), tuple(dict.fromkeys([*notes, *made])))


def convert_picture(image, look):
    """Turn a PIL image into uint8 `[H, W, C]`, and tell how: keys of `TOLD`."""
    channels = 4 if look.channels == 2 else look.channels
    pixels, notes = convert(image, Conversion(look.size, "center-crop", channels=channels, background=look.background))
    if look.channels in (2, 4):
        notes = [note for note in notes if note != "transparent"]  # it is kept
    if look.channels >= 3 and is_grey(image.mode):
        notes.append("coloured")
    if look.channels <= 2 and not is_grey(image.mode):
        notes.append("greyed")
    if look.channels == 2:
        pixels = np.asarray(Image.fromarray(pixels).convert("LA"))
    return pixels, notes


def _face(image, look):
    from sgtool.datasets.faces import align, shared_detector  # late: dlib is needed for faces alone

    image, _ = to_8_bit(image)
    faces = shared_detector(look.landmarks).detect(image, which="largest")
    if not faces:
        raise Skip(NO_FACE)
    return align(image, faces[0].landmarks, max(FACE_SIDE, *look.size), None)


def told(counts, number, look, background="white"):
    """Say in one line what was done to the targets, None if nothing was.

    Args:
        counts: `Counter` of the notes of all of them.
        number: of targets.
        look: `Look`.
        background: its colour in words.
    """
    parts = [(text if number == 1 else f"{counts[note]} {text}") for note, text in TOLD.items() if counts[note]]
    if not parts:
        return None
    what = f"{look.size[0]}x{look.size[1]} {MODES[look.channels]}"
    subject = "The target was made" if number == 1 else f"{number} targets were made"
    return f"{subject} {what}: {', '.join(parts)}.".format(background=background)


def skipped_lines(skipped, shown=5):
    """Tell of targets that were left out: how many, and the first of them with reasons.

    Args:
        skipped: list of (source, reason).
        shown: how many to name.
    """
    lines = [f"{len(skipped)} skipped:"] + [f"  {source}: {reason}" for source, reason in skipped[:shown]]
    return lines + ([f"  and {len(skipped) - shown} more, all in scores.json"] if len(skipped) > shown else [])


def check_channels(G, network):
    """Refuse a network whose pictures are no pictures that a file could hold.

    Raises:
        UserError: it has more than four channels.
    """
    if G.img_channels not in MODES:
        raise UserError(
            f"{network} makes pictures of {G.img_channels} channels, and picture files have 1 to 4. "
            "Choose a model whose pictures can be files."
        )
