"""Frames of video files, decoded by the ffmpeg program that the package imageio-ffmpeg brings."""

import os
import subprocess
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError

# Containers of videos only: a playlist under a video's name would make ffmpeg open other files and addresses.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,ogg,asf,flv"
LONGEST_LINE = 64  # bytes of a line in the head of a PPM


def executable():
    """Return where the ffmpeg program is.

    Raises:
        UserError: it is not there.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError("Reading videos needs the package imageio-ffmpeg. Run: pip install 'sgtool[video]'") from error
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError("imageio-ffmpeg finds no ffmpeg program. Run: pip install --force-reinstall imageio-ffmpeg") from error


def _command(path, seek, *output):
    read = ["-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1"]
    safe = ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS, "-max_pixels", str(Image.MAX_IMAGE_PIXELS)]
    start = ["-ss", f"{float(seek):.6f}"] if seek is not None else []
    return [executable(), *read, *safe, *start, "-i", f"file:{path}", "-map", "0:v:0", *output, "-"]


@dataclass(frozen=True)
class Timeline:
    """When the frames of a video are shown.

    Attributes:
        number: of frames.
        times: seconds from the start, in order, `Fraction`s; None where the file does not say.
    """

    number: int
    times: list | None

    def seek(self, frame):
        """Return a time in seconds between a frame and the one before it; None for the first, or if it is not known."""
        if not frame or self.times is None:
            return None
        return (self.times[frame - 1] + self.times[frame]) / 2


def timeline(path):
    """Read when the frames of a video are shown, from its packets: nothing is decoded.

    Raises:
        Skip: it is not a readable video.
    """
    done = subprocess.run(_command(path, None, "-c", "copy", "-f", "framecrc"), stdin=subprocess.DEVNULL, capture_output=True)
    unit, stamps, known = Fraction(1), [], True
    for line in done.stdout.decode("ascii", "replace").splitlines():
        if line.startswith("#tb 0:"):
            unit = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            stamp = line.split(",")[2].strip()
            known = known and stamp.lstrip("-").isdigit()
            stamps.append(stamp)
    if not stamps:
        raise Skip(_reason(done.stderr, path), unreadable=True)
    times = sorted(int(stamp) * unit for stamp in stamps) if known else None
    if times and len(set(times)) < len(times):
        times = None
    return Timeline(len(stamps), times)


def _reason(stderr, path):
    lines = stderr.decode("utf-8", "replace").replace(os.fspath(path), "it").strip().splitlines()
    return f"not a readable video ({lines[-1].strip()[:200]})" if lines else "a video without frames"


class Decoder:
    """A run of ffmpeg that decodes a video from some time on, every `every`-th frame from there.

    Frames are upright (ffmpeg applies the rotation that a phone notes), in RGB, and none is doubled or dropped for the
    sake of a frame rate.
    """

    def __init__(self, path, seek, every):
        self.position = 0  # of the frame that comes next, counted in frames that are taken
        thinned = ["-vf", f"select=not(mod(n\\,{every}))"] if every > 1 else []
        shape = ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24"]
        exact = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+bitexact"]
        command = _command(path, seek, *thinned, *shape, *exact)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def frame(self, position):
        """Return frame number `position`, which is not before the one that comes next: uint8 `[H, W, 3]`.

        Raises:
            Skip: the video ends before it.
        """
        while self.position < position:
            self._next()
        return self._next()

    def _next(self):
        self.position += 1
        pipe = self._process.stdout
        kind, size, _ = (pipe.readline(LONGEST_LINE) for _ in range(3))
        try:
            width, height = map(int, size.split())
        except ValueError:
            width = height = 0
        data = pipe.read(width * height * 3) if kind == b"P6\n" and 0 < width * height <= Image.MAX_IMAGE_PIXELS else b""
        if not data or len(data) < width * height * 3:
            raise Skip("the video cannot be decoded up to this frame", unreadable=True)
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def close(self):
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()
