"""Frames into a video, an animated picture or a folder of pictures, one by one: memory does not grow with their number."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import PngImagePlugin

from sgtool import images
from sgtool.errors import UserError
from sgtool.files import atomic_write, make_folder, sync_folder
from sgtool.latents.encode_animation import Apng, Webp
from sgtool.latents.encode_ffmpeg import MUXERS, Ffmpeg, executable
from sgtool.latents.encode_gif import Gif
from sgtool.latents.encode_plan import check_quality, check_rate, differences, ending_of, planned
from sgtool.latents.recipes import refuse_strangers, texts

FRAME = re.compile(r"frame[0-9]{6,}\.png")
ANIMATIONS = {".gif": Gif, ".webp": Webp, ".apng": Apng, ".png": Apng}


def check_output(path, fps=30, codec=None, quality=None, option="--output"):
    """Refuse what cannot be written, before anything is computed or read. Makes the folder of `path` if need be.

    Raises:
        UserError: the ending is unknown or the format does not have what is asked of it, ffmpeg is needed and not there, the
            folder cannot be made or written, or there is something that was not made by sgtool.
    """
    path = Path(path)
    if not path.name or path.name.lower() in (*ANIMATIONS, *MUXERS):  # ".mp4" alone would be a folder
        raise UserError(f"{option} {path} is no name. Give one like walk.mp4.")
    check_rate(path, fps)
    check_quality(path, codec, quality)
    if ending_of(path) in MUXERS:
        executable(path.name)
    folder = make_folder(path.parent, option)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{option} {path}: the folder {folder} cannot be written to. Choose another one.")
    if ending_of(path) or not _is_empty(path):  # an empty folder may become one of frames
        refuse_strangers(folder, [path.name], option)


def _is_empty(path):
    """Tell whether something is an empty folder."""
    try:
        return not os.listdir(path)
    except OSError:  # not there, or no folder, or not to be looked into
        return False


@contextlib.contextmanager
def open_writer(
    path, size, fps, channels, *, codec=None, quality=None, background=(255, 255, 255), loop=True, recipe=None,
    say=lambda text: None,
):  # fmt: skip
    """Open a video to write. It appears under its name when it is complete; what lay there before is then replaced.

    The ending decides: .mp4, .mov and .webm are written by ffmpeg, .gif, .webp, .apng and .png (an APNG) by this program, and
    a name without an ending is a folder of frame000000.png ... Whether something may be replaced: `check_output`.

    Args:
        path: the file or folder.
        size: (height, width) of the frames.
        fps: frames a second.
        channels: of the frames: 1, 2, 3, 4 are L, LA, RGB, RGBA; more are laid side by side as one grey picture.
        codec: "h264", "h265", "vp9", "av1", "prores", "png" or any encoder of ffmpeg; None = what suits the ending.
        quality: the encoder's own number: for .webp 0 to 100, 100 (the default) being exact; with ffmpeg the CRF, where
            less is better.
        background: (red, green, blue) behind transparent pixels where the format keeps no alpha.
        loop: animated pictures begin again at the end.
        recipe: dict kept in the file.
        say: called with a text where the file is not what the frames are.
    Yields:
        An object with `put(frame)`, frame being uint8 `[H, W, C]`.
    Raises:
        UserError: the encoder does not work with these options, or the file cannot be written.
    """
    plan = planned(Path(path), size, fps, channels, codec, quality, background, loop, recipe or {})
    for text in differences(plan):
        say(text)
    if plan.codec:
        _try_out(plan)
    with _opened(plan) as sink:
        frames = _Frames(plan, sink)
        yield frames
        if not frames.number:
            raise ValueError("no frame was given")
        sink.finish()


def _try_out(plan):
    """Let ffmpeg write two frames elsewhere, so that what it cannot do is known now."""
    frame = np.zeros([*plan.size, 4 if plan.alpha else 3], np.uint8)
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(_ffmpeg(plan, Path(folder) / "trial")) as trial:
        for _ in range(2):
            trial.put(frame)
        trial.finish()


def _ffmpeg(plan, path):
    channels = 4 if plan.alpha else 3
    return Ffmpeg(path, plan.ending, plan.size, plan.fps, channels, plan.codec, plan.quality, plan.recipe)


class _Frames:
    """Takes frames as they come and hands them on as the format keeps them."""

    def __init__(self, plan, sink):
        self.plan, self.sink, self.number = plan, sink, 0

    def put(self, frame):
        """Add a frame, uint8 `[H, W, C]` of the size and channels that were said."""
        plan = self.plan
        if frame.dtype != np.uint8 or frame.shape[2] != plan.channels:
            raise ValueError(f"a frame is {frame.dtype} {list(frame.shape)} instead of uint8 [H, W, {plan.channels}]")
        if plan.channels > 4:
            frame = images.from_pil(images.to_pil(frame))
        if frame.shape[:2] != plan.size:
            raise ValueError(f"a frame is {list(frame.shape[:2])} instead of {list(plan.size)}")
        if plan.channels in (2, 4) and not plan.alpha:
            frame = on_background(frame, plan.background)
        if plan.codec and frame.shape[2] < 3:
            frame = np.concatenate([frame[:, :, :1]] * 3 + [frame[:, :, 1:]], axis=2)
        self.sink.put(frame)
        self.number += 1


def on_background(frame, background):
    """Lay a picture with alpha on a colour.

    Args:
        frame: uint8 `[H, W, 2]` or `[H, W, 4]`, alpha last and not multiplied in.
        background: (red, green, blue), 0..255.
    Returns:
        uint8 `[H, W, 3]`.
    """
    alpha = frame[:, :, -1:].astype(np.uint32)
    mixed = frame[:, :, :-1] * alpha + np.array(background, np.uint32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


@contextlib.contextmanager
def _opened(plan):
    if plan.ending in ANIMATIONS:
        quality = 100 if plan.quality is None else plan.quality
        with atomic_write(plan.path) as file:
            yield ANIMATIONS[plan.ending](file, plan.size, plan.fps, plan.recipe, plan.loop, quality)
    elif plan.codec:
        with _beside(plan.path) as path, contextlib.closing(_ffmpeg(plan, path)) as sink:
            yield sink
    else:
        with _beside(plan.path) as path:
            yield _Folder(path, plan.recipe)


class _Folder:
    """A folder of PNGs."""

    def __init__(self, path, recipe):
        self.path, self.recipe, self.number = path, recipe, 0
        path.mkdir()

    def put(self, frame):
        info = PngImagePlugin.PngInfo()
        for key, value in texts({**self.recipe, "frame": self.number}).items():
            info.add_itxt(key, value)
        images.to_pil(frame).save(self.path / f"frame{self.number:06d}.png", pnginfo=info)
        self.number += 1

    def finish(self):
        sync_folder(self.path)


def _keep_strangers(before, folder):
    """Move to the new folder what somebody has put into the one before since it was looked at."""
    for path in before.iterdir() if before.is_dir() else ():
        if not FRAME.fullmatch(path.name):
            os.replace(path, folder / path.name)


@contextlib.contextmanager
def _beside(path):
    """Yield a name in a hidden folder beside `path`; what is there at the end takes the place of `path`."""
    work = None
    try:
        work = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        yield work / path.name
        if (work / path.name).is_file():
            with open(work / path.name, "rb+") as file:
                os.fsync(file.fileno())
        if path.is_dir():
            os.replace(path, work / "before")
        os.replace(work / path.name, path)
        _keep_strangers(work / "before", path)
        sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} could not be written: {reason}. Free some space or choose another folder.") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
