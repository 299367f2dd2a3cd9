"""What will be written, in which format, decided and checked before the first frame."""

import math
from dataclasses import dataclass
from pathlib import Path

from sgtool.errors import UserError
from sgtool.latents.encode_ffmpeg import MUXERS, codec_for

OURS = (".gif", ".webp", ".apng", ".png")  # written without ffmpeg
LONGEST_SIDE = {".gif": 65535, ".webp": 16383}
SLOWEST = 0.01
FASTEST = {".gif": 50}  # frames a second; others: 240
ENDINGS = "mp4, .mov, .webm, .gif, .webp, .apng or .png, or a name without an ending for a folder of frames"


@dataclass(frozen=True)
class Plan:
    """What will be written, and how."""

    path: Path
    ending: str  # "" for a folder of frames
    size: tuple  # (height, width) of the frames as they come
    channels: int  # of the frames as they come
    fps: float
    codec: object  # `Codec`, None without ffmpeg
    quality: int | None
    alpha: bool  # whether it is kept
    background: tuple
    loop: bool
    recipe: dict


def ending_of(path):
    """Return the ending that decides the format, in small letters; "" is a folder of frames.

    Raises:
        UserError: it is none of them.
    """
    ending = Path(path).suffix.lower()
    if ending and ending not in OURS and ending not in MUXERS:
        raise UserError(f"{path}: a video cannot be written as {ending}. Give a name that ends in .{ENDINGS}.")
    return ending


def fastest(path):
    """Return how many frames a second the format of `path` can show."""
    return FASTEST.get(ending_of(path), 240)


def planned(path, size, fps, channels, codec=None, quality=None, background=(255, 255, 255), loop=True, recipe=None):
    """Return the `Plan` of a video; the arguments are those of `encode.open_writer`.

    Raises:
        UserError: the format does not have what is asked of it.
    """
    ending, transparent = ending_of(path), channels in (2, 4)
    check_rate(path, fps)
    check_quality(path, codec, quality, transparent)
    if channels > 4:
        size = size[0], size[1] * channels
    longest = LONGEST_SIDE.get(ending, 2**31 - 1)
    if max(size) > longest:
        raise UserError(f"{path.name}: {size[1]}x{size[0]} is more than {ending} holds, {longest} a side. Write .mp4 or .png.")
    row = codec_for(ending, codec, transparent) if ending in MUXERS else None
    alpha = transparent and (row is None or (ending != ".mp4" and row.with_alpha is not None))
    return Plan(path, ending, tuple(size), channels, fps, row, quality, alpha, tuple(background), loop, recipe or {})


def check_rate(path, fps):
    """Refuse a frame rate that the format of `path` cannot show."""
    most = fastest(path)
    if math.isfinite(fps) and SLOWEST <= fps <= most:
        return
    shown = f"{Path(path).name} shows at most {most} frames a second" if fps > most else "that is no frame rate"
    raise UserError(f"--fps {fps:g}: {shown}. Give a number up to {most}, like {min(most, 30)}.")


def check_quality(path, codec, quality, transparent=False):
    """Refuse a codec or a quality that means nothing to the format of `path`."""
    ending, name = ending_of(path), Path(path).name
    if ending not in MUXERS:
        if codec is not None:
            raise UserError(f"--codec {codec} is for .mp4, .mov and .webm; {name} has none. Leave it out.")
        if quality is not None and (ending != ".webp" or not 0 <= quality <= 100):
            raise UserError(f"--quality {quality}: .webp takes 0 to 100, and .gif, .apng and frames take none.")
        return
    row = codec_for(ending, codec, transparent)
    if quality is not None and row.quality is None:
        raise UserError(f"--quality {quality} means nothing to the codec {row.encoder}. Leave it out.")
    if quality is not None and not 0 <= quality <= row.worst:
        raise UserError(f"--quality {quality}: for {row.encoder} it goes from 0, the best, to {row.worst}.")


def differences(plan):
    """Return a text for each way in which the file will not be what the frames are."""
    name, transparent, texts = plan.path.name, plan.channels in (2, 4), []
    if transparent and not plan.alpha:
        colour = "#{:02x}{:02x}{:02x}".format(*plan.background)
        texts.append(f"{name} keeps no transparency: pictures are laid on the background {colour}.")
    if transparent and plan.ending == ".gif":
        texts.append(f"{name}: a pixel of a GIF is opaque or not there; what is half transparent becomes one of the two.")
    height, width = plan.size
    if plan.codec and plan.codec.even(plan.alpha) and (height % 2 or width % 2):
        even = f"{width + width % 2}x{height + height % 2}"
        texts.append(f"{name}: this codec needs even sides, so {width}x{height} becomes {even}, the last row or column doubled.")
    return texts
