"""The recipe in every file that is written, and the rule that no file without one is replaced."""

import json
import struct
import warnings
from pathlib import Path

from PIL import ExifTags, Image

from sgtool import __version__
from sgtool.errors import UserError

RECIPE = "sgtool"  # key of the PNG text that holds the recipe; first word of the comment that does in other files
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST = 1 << 26  # bytes of a recipe
VIDEOS = (".mp4", ".mov", ".webm")


def texts(recipe):
    """Return the PNG texts of a recipe: itself as JSON, and the program."""
    return {RECIPE: json.dumps(recipe), "Software": f"sgtool {__version__}"}


def recipe_of(path):
    """Return the recipe in a file, a dict; None if it has none or is no file.

    PNG keeps it in a text, GIF and videos in the comment, WebP in the description. A folder of frames has the first frame's,
    if all that is in it are frames with a recipe.

    Raises:
        UserError: a video can only be read by ffmpeg, and ffmpeg is not there.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.is_file():  # opening a pipe would wait
            return None
        if path.suffix.lower() in VIDEOS:
            from sgtool.latents.encode_ffmpeg import stored_recipe  # here, because that module needs this one

            return _parsed(stored_recipe(path))
        with open(path, "rb") as file:
            if file.read(8) == SIGNATURE:
                return _of_png(file)
        return _of_animation(path)
    except (OSError, ValueError, struct.error, Image.DecompressionBombError, RecursionError):
        return None


def is_ours(path):
    """Tell whether what is at `path` carries a recipe, and so may be replaced."""
    return recipe_of(path) is not None


def refuse_strangers(outdir, names, option="--outdir"):
    """Raise UserError if something would be replaced that was not made from a recipe. `option` named the place."""
    for path in (outdir / name for name in names):
        if path.exists() and not is_ours(path):
            noun = (
                "folder of frames"
                if path.is_dir() and not path.suffix
                else "video"
                if path.suffix.lower() in VIDEOS
                else "picture"
            )
            raise UserError(f"{path} is no {noun} made by sgtool, so it is not replaced. Move it or choose another {option}.")


def _of_folder(path):
    files = sorted(path.iterdir())
    recipes = [recipe_of(file) if file.suffix == ".png" else None for file in files]
    return None if None in recipes or not recipes else {**recipes[0], "frame": None}


def _of_png(file):
    """Return the recipe in a PNG whose signature is read: https://www.w3.org/TR/png-3/#11iTXt."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT" or kind == b"IEND":
            return None
        if kind == b"iTXt" and length <= LONGEST:
            data = file.read(length)
            keyword, _, rest = data.partition(b"\0")
            if keyword == RECIPE.encode():
                text = rest[2:].split(b"\0", 2)[2]  # after the language and the translated keyword
                return None if rest[0] else _parsed(f"{RECIPE} {text.decode('utf-8')}")  # ours is not compressed
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    return None


def _of_animation(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its size: nothing is decoded
        with Image.open(path) as picture:
            comment = picture.info.get("comment", b"")
            text = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
            return _parsed(text) or _parsed(str(picture.getexif().get(ExifTags.Base.ImageDescription, "")))


def _parsed(text):
    """Return the recipe in `sgtool {...}`; None if it is something else."""
    word, _, rest = (text or "").partition(" ")
    recipe = json.loads(rest) if word == RECIPE else None
    return recipe if isinstance(recipe, dict) else None
