"""The recipe in every file that is written, and the rule that no file without one is replaced."""

import json
import os
import struct
from pathlib import Path

from sgtool import __version__
from sgtool.errors import UserError

RECIPE = "sgtool"  # key of the PNG text that holds the recipe; first word of the comment that does in other files
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST = 1 << 26  # bytes of a recipe
MOST_CHUNKS = 2_000_000  # that are looked through for it
MOST_EXTENSIONS = 16  # likewise, of a GIF
WEBP_CHUNKS = (b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", b"XMP ")  # before the description
VIDEOS = (".mp4", ".mov", ".webm")


def texts(recipe):
    """Return the PNG texts of a recipe: itself as JSON, and the program."""
    return {RECIPE: json.dumps(recipe), "Software": f"sgtool {__version__}"}


def recipe_of(path):
    """Return the recipe in a file, a dict; None if it has none or is no file.

    PNG keeps it in a text, GIF and videos in the comment, WebP in the description. A folder of frames has the first frame's,
    if all that is in it are frames with a recipe. Whatever the file is, it is looked through without being decoded or held
    in memory.

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
            return _of_picture(file)
    except (OSError, ValueError, RecursionError):
        return None


def is_ours(path):
    """Tell whether what is at `path` carries a recipe, and so may be replaced."""
    return recipe_of(path) is not None


def refuse_strangers(outdir, names, option="--outdir"):
    """Raise UserError if something would be replaced that was not made from a recipe. `option` named the place."""
    for path in (outdir / name for name in names):
        if os.path.exists(path) and not is_ours(path):
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


def _of_picture(file):
    head = file.read(8)
    if head == SIGNATURE:
        return _of_png(file)
    if head[:6] == b"GIF89a":
        return _of_gif(file)
    if head[:4] == b"RIFF" and file.read(4) == b"WEBP":
        return _of_webp(file)
    return None


def _of_png(file):
    """Return the recipe in a PNG whose signature is read: https://www.w3.org/TR/png-3/#11iTXt."""
    for _ in range(MOST_CHUNKS):
        length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        if not kind.isalpha() or kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"iTXt" and length <= LONGEST:
            keyword, _, rest = file.read(length).partition(b"\0")
            if keyword == RECIPE.encode():
                text = rest[2:].split(b"\0", 2)[2:]  # after the language and the translated keyword
                return _parsed(f"{RECIPE} {text[0].decode()}") if text and not rest[0] else None  # ours is not compressed
            length = 0
        file.seek(length + 4, 1)
    return None


def _of_gif(file):
    """Return the recipe in a GIF: the first comment before the first frame."""
    file.seek(10)
    flags = file.read(3)[:1]
    if flags >= b"\x80":  # colours of all frames
        file.seek(3 * 2 ** ((flags[0] & 7) + 1), 1)
    for _ in range(MOST_EXTENSIONS):
        kind = file.read(2)
        data = _gif_blocks(file) if kind[:1] == b"\x21" else None
        if kind == b"\x21\xfe" and data is not None:
            return _parsed(data.decode())
        if data is None:
            return None
    return None


def _gif_blocks(file):
    """Return what blocks hold that follow one another up to an empty one; None if they do not end, or are too long."""
    parts = []
    while length := file.read(1):
        if length == b"\0":
            return b"".join(parts)
        parts.append(file.read(length[0]))
        if len(parts) > LONGEST // 255:
            return None
    return None


def _of_webp(file):
    """Return the recipe in a WebP whose head is read: the EXIF description, a text that ends with a zero."""
    for _ in range(MOST_CHUNKS):
        kind, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if kind == b"EXIF" and length <= LONGEST:
            _, found, rest = file.read(length).partition(f"{RECIPE} {{".encode())
            return _parsed((found + rest.partition(b"\0")[0]).decode())
        if kind not in WEBP_CHUNKS:
            return None
        file.seek(length + length % 2, 1)
    return None


def _parsed(text):
    """Return the recipe in `sgtool {...}`; None if it is something else."""
    word, _, rest = (text or "").partition(" ")
    recipe = json.loads(rest) if word == RECIPE else None
    return recipe if isinstance(recipe, dict) else None
