"""From a picture of a source to a PIL image: decoded, upright, in sRGB, or skipped with a reason."""

import contextlib
import warnings

from PIL import Image, UnidentifiedImageError

from sgtool.datasets.sources.formats import formats, unknown
from sgtool.datasets.sources.kept import drop, kept
from sgtool.datasets.sources.pictures import FramePicture, Raw
from sgtool.datasets.sources.profiles import to_srgb
from sgtool.datasets.transforms import Skip
from sgtool.images import to_pil

EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A JPEG can be decoded at 1/8, 1/4 and 1/2: with so many pixels, at least, for each that is wanted, along each axis. At 1/8 a
# pixel is the plain mean of 64, which blurs a little, and would be seen with 2.
SPARE = {8: 3, 4: 2, 2: 2}
TOO_MUCH_TEXT = "a text or profile inside it is too large, more than 1 MB"  # compressed, in a PNG: Pillow's limit
NOTES, FULL_SIZE = "sgtool notes", "sgtool full size"  # keys of a loaded image's info


@contextlib.contextmanager
def reading():
    """Turn whatever a decoder raises into `Skip`. Decoders of broken files raise nearly anything, so all is caught here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, of no effect on the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except Skip:
        raise
    except UnidentifiedImageError as error:  # in the middle of one; see `_image`
        raise Skip(unknown(b"?"), unreadable=True) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Skip(f"more than {Image.MAX_IMAGE_PIXELS} pixels", unreadable=True) from error
    except OSError as error:
        raise Skip(error.strerror or str(error), unreadable=True) from error
    except ValueError as error:
        raise Skip(TOO_MUCH_TEXT if "MAX_TEXT" in str(error) else str(error), unreadable=True) from error
    except Exception as error:
        raise Skip(str(error) or type(error).__name__, unreadable=True) from error


def load(picture, size_hint=None):
    """Decode a picture, turn it upright by its EXIF orientation, and convert it to sRGB by its embedded profile.

    Args:
        picture: what `Source.picture` gives.
        size_hint: (width, height) that the upright picture will be reduced to cover. A JPEG is then decoded at half, a
            quarter or an eighth of its size (which takes a fraction of the time), as long as at least twice these numbers
            of pixels remain; reduced by Lanczos, the result changes by less than a level of 255 on average. None decodes
            all pixels.
    Returns:
        PIL image of any mode. `notes_of` and `full_size_of` tell more about it.
    Raises:
        Skip: it cannot be read; the text says why.
    """
    with reading():
        if isinstance(picture, Raw):
            return to_pil(picture.pixels())
        with _opened(picture) as image:
            turn, notes = _turn(image)  # asked twice, Pillow would not complain of broken EXIF data a second time
            full = _upright_size(image, turn)
            if size_hint is not None and image.format in ("JPEG", "MPO"):
                _reduce(image, size_hint[::-1] if turn in SIDEWAYS else size_hint, turn)
            notes += _depth(image) + (("turned",) if turn is not None else ())
            image.load()
            turn, _ = _turn(image)  # Pillow has turned a TIFF by now, and says so
            profile = image.info.get("icc_profile")
            turned = image.transpose(turn) if turn is not None else _own(image, picture)
        turned, colour = to_srgb(turned, profile)
        turned.info = {key: value for key, value in turned.info.items() if key == "transparency"}
        turned.info[NOTES] = notes + colour
        turned.info[FULL_SIZE] = full
        return turned


def _own(image, picture):
    """An image that stays as it is when others of the same file are read. A file of one picture can be closed, and is that."""
    return image.copy() if isinstance(picture, FramePicture) else image


SIDEWAYS = tuple(TURNS[i] for i in (5, 6, 7, 8))


def _reduce(image, wanted, turn):
    """Make an open JPEG decode at the smallest scale that leaves `SPARE` times the (width, height) `wanted`.

    The last row and column of a reduced picture may stand for fewer pixels than the others. So that it is the last one in the
    upright picture too, a picture that will be turned is reduced only where nothing is left over.
    """
    for scale, spare in SPARE.items():
        width, height = image.width // scale, image.height // scale
        if width < spare * wanted[0] or height < spare * wanted[1]:
            continue
        if turn is None or (width * scale, height * scale) == image.size:
            image.draft(None, (width, height))
            return


def notes_of(image):
    """Tell what was done to an image that `load` returned.

    Returns:
        tuple of "turned" (upright by its EXIF orientation), "icc" (converted to sRGB), "icc ignored" (its profile could not be
        used), "exif ignored" (its EXIF data are damaged, so that it may not be upright), "16 bit" (a colour picture, of which
        the upper 8 bits are used).
    """
    return image.info.get(NOTES, ())


def full_size_of(image):
    """Tell (width, height) of the whole picture, upright: more than `image.size` where it was decoded at reduced scale."""
    return image.info.get(FULL_SIZE, image.size)


def examine(picture):
    """Read a picture's header only.

    Returns:
        (width, height) upright, and the PIL mode.
    Raises:
        Skip: it cannot be read.
    """
    with reading():
        if isinstance(picture, Raw):
            height, width, channels = picture.shape()
            return (width, height), {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(channels, "L")
        with _opened(picture) as image:
            return _upright_size(image, _turn(image)[0]), image.mode


def count_frames(picture):
    """Tell how many pictures a file holds.

    Raises:
        Skip: it cannot be read.
    """
    with reading(), _opened(picture) as image:
        return getattr(image, "n_frames", 1)


@contextlib.contextmanager
def _opened(picture):
    """Open a picture's image; of several in one file, the right one. Such a file stays open, as each frame needs the last."""
    if not isinstance(picture, FramePicture):
        with picture.stream() as file, _image(file) as image:
            yield image
        return
    try:
        image = kept(("frames", picture.file), lambda: _Frames(picture.file)).image
        if image.tell() != picture.frame:
            image.seek(picture.frame)
        yield image
    except BaseException:
        drop(("frames", picture.file))  # a decoder that failed half-way is in no known state
        raise


def _image(file):
    try:
        return Image.open(file, formats=formats())
    except UnidentifiedImageError as error:
        file.seek(0)
        raise Skip(unknown(file.read(32)), unreadable=True) from error


class _Frames:
    """An open file of several pictures."""

    def __init__(self, picture):
        self.file = picture.stream()
        try:
            self.image = _image(self.file)
        except BaseException:
            self.file.close()
            raise

    def close(self):
        self.image.close()
        self.file.close()


def _orientation(image):
    # A PNG tells its orientation before the pixels; asking `getexif` for one that has none would decode it all.
    if image.format == "PNG" and not {"exif", "Raw profile type exif", "Raw profile type APP1"} & set(image.info):
        return 1
    return image.getexif().get(EXIF_ORIENTATION, 1)


def _turn(image):
    """Return what makes the image upright (None: nothing), and notes."""
    try:
        return TURNS.get(_orientation(image)), ()
    except Exception:  # EXIF data are a file of their own kind, and when broken raise nearly anything; the pixels are fine
        return None, ("exif ignored",)


def _upright_size(image, turn):
    # PIL turns TIFF pictures itself, and from some version on says so before it does: ask the file, not PIL.
    size = (image.tag_v2[256], image.tag_v2[257]) if image.format == "TIFF" else image.size
    return size[::-1] if turn in SIDEWAYS else size


def _depth(image):
    """Note 16 bits a channel in colour pictures, which Pillow reads as 8."""
    deep = image.mode in ("RGB", "RGBA", "LA", "CMYK") and any(";16" in str(tile[3]) for tile in image.tile)
    return ("16 bit",) if deep else ()
