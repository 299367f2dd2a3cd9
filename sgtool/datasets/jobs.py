"""The work on pictures, in jobs: some pictures of the source, decoded once each, become one shard."""

import hashlib
import io
import threading
from dataclasses import dataclass, field

import numpy as np
import PIL

from sgtool import __version__
from sgtool.datasets.png import encode_png
from sgtool.datasets.shards import ShardWriter
from sgtool.datasets.sources import full_size_of, load, notes_of
from sgtool.datasets.transforms import Skip, convert_sizes, to_8_bit
from sgtool.errors import UserError

FACE_SIDE = 1024  # pixels of an aligned face before the resize
NO_FACE = "no face"
VERSIONS = {"sgtool": __version__, "Pillow": PIL.__version__, "NumPy": np.__version__}  # what pixels can depend on
THUMBNAIL_QUALITY = 90

_detecting = threading.Lock()  # dlib's detector is one for all threads of a process


@dataclass(frozen=True)
class FaceOptions:
    """Which faces are cut out of each picture.

    Attributes:
        which: "all" or "largest".
        min_face: shorter side of a face's box in pixels, at least.
        landmarks: file of the landmark model, or None for the installed one.
        thumbnails: make one of each picture, for the contact sheet.
    """

    which: str = "all"
    min_face: int = 0
    landmarks: str | None = None
    thumbnails: bool = False


@dataclass(frozen=True)
class Recipe:
    """What is done to every picture of a run.

    Attributes:
        conversions: `Conversion` for each resolution.
        folder: where the shards go, absolute.
        faces: `FaceOptions`, or None: the whole picture is taken.
        measured: measure each picture for the check.
        versions: of the programs that did the planning; a worker with others refuses.
    """

    conversions: tuple
    folder: str
    faces: FaceOptions | None = None
    measured: bool = False
    versions: dict = field(default_factory=lambda: dict(VERSIONS))


@dataclass(frozen=True)
class Unwanted:
    """Stands for a picture that is not looked at."""

    reason: str


class Named:
    """What is called by the names of the first and the last of its pictures, in messages."""

    names = ()

    def __str__(self):
        return " to ".join(dict.fromkeys((self.names[0], self.names[-1]))) if self.names else "some pictures"


@dataclass(frozen=True)
class Batch(Named):
    """Pictures that are only looked at, with their names."""

    pictures: list
    names: tuple = ()


@dataclass(frozen=True)
class Job(Named):
    """Pictures `first`, `first` + 1, ... of the source, which become the shard `number`."""

    recipe: Recipe
    number: int
    first: int
    pictures: list
    names: tuple = ()  # of the first and the last


@dataclass(frozen=True)
class Summary:
    """What a worker tells of a job: number of pictures of the source, and the first that could not be read, if any."""

    pictures: int
    unreadable: tuple | None  # (index, reason)


def do(job):
    """Do a job; runs in a worker.

    Raises:
        UserError: this worker has other versions of what makes the pixels.
        Resumable: the work folder cannot be written.
    """
    check_versions(job.recipe.versions)
    with ShardWriter(job.recipe.folder, job.number) as shard:
        for index, picture in enumerate(job.pictures, job.first):
            if isinstance(picture, Unwanted):
                for edition in range(len(job.recipe.conversions)):
                    shard.fail(index, edition, picture.reason, unreadable=False)
                continue
            _do_picture(shard, index, picture, job.recipe)
    bad = next(((record.index, record.failure) for record in shard.records if record.unreadable), None)
    return Summary(len(job.pictures), bad)


def check_versions(wanted):
    """Raise UserError unless this process has the versions in `wanted`."""
    for name, version in wanted.items():
        if VERSIONS[name] != version:
            raise UserError(f"A worker has {name} {VERSIONS[name]}, but here it is {version}. Install the same everywhere.")


def _do_picture(shard, index, picture, recipe):
    extra = {}
    try:
        image, original = _loaded(picture, recipe)
        if recipe.measured:
            extra["measures"] = _measures(image, recipe)
        made = _faces(image, recipe, extra) if recipe.faces else convert_sizes(image, recipe.conversions, original)
    except Skip as skip:
        made = [skip] * len(recipe.conversions)
        notes = ()
    else:
        notes = notes_of(image)
    for edition, pieces in enumerate(made):
        if isinstance(pieces, Skip):
            shard.fail(index, edition, str(pieces), pieces.unreadable, extra)
        else:
            pictures = [(encode_png(pixels), picture_digest(pixels), _together(notes, more)) for _, pixels, more in pieces]
            shard.add(index, edition, pictures, extra)
        extra = {}  # it is written once


def _measures(image, recipe):
    from sgtool.datasets.findings import measure  # late: SciPy is needed for it

    target_size = None if recipe.faces else covered(recipe.conversions)
    return measure(image, target_size, thumbnail=False).to_bytes()


def _together(*notes):
    return tuple(dict.fromkeys(note for some in notes for note in some))


def _loaded(picture, recipe):
    """Decode a picture, at a reduced scale if that is enough; return it and its full (width, height)."""
    whole = recipe.faces is not None or recipe.measured
    image = load(picture, None if whole else decode_size(recipe.conversions))
    return image, full_size_of(image)


def decode_size(conversions):
    """Tell what a decoder at reduced scale must cover, whatever the size of the picture.

    A crop keeps one side of the picture and is then as large as the result; padding takes no more pixels than that.

    Args:
        conversions: `Conversion`s whose sizes are settled.
    Returns:
        (width, height) in pixels, or None: all pixels are needed, as they are taken as they are (tiles, nearest).
    """
    if any(conversion.transform == "tile" or conversion.resize_filter == "nearest" for conversion in conversions):
        return None
    return covered(conversions)


def covered(conversions):
    """(width, height) that the largest results have together."""
    return tuple(max(conversion.size[axis] for conversion in conversions) for axis in (0, 1))


def picture_digest(pixels):
    """SHA-256 of a uint8 picture `[H, W, C]`, hexadecimal: the text "HxWxC" and a line feed, then the pixels row by row."""
    return hashlib.sha256(b"%dx%dx%d\n" % pixels.shape + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _faces(image, recipe, extra):
    """Find faces and cut them out; return for each resolution what `convert_sizes` gives, all faces in one list."""
    from sgtool.datasets.face_sheet import thumbnail  # late: dlib and SciPy are needed for faces alone
    from sgtool.datasets.faces import align, shared_detector

    options = recipe.faces
    image, depth = to_8_bit(image)
    with _detecting:
        faces = shared_detector(options.landmarks).detect(image, options.min_face, options.which)
    if options.thumbnails:
        buffer = io.BytesIO()
        thumbnail(image, faces).save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
        extra["thumbnail"] = buffer.getvalue()
    if not faces:
        raise Skip(NO_FACE)
    made = [[] for _ in recipe.conversions]
    for face in faces:
        portrait = align(image, face.landmarks, FACE_SIDE, None)
        for pieces, more in zip(made, convert_sizes(portrait, recipe.conversions), strict=True):
            if isinstance(more, Skip):
                raise more
            pieces.extend((suffix, pixels, _together(depth, notes)) for suffix, pixels, notes in more)
    return made
