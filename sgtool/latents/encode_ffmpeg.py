"""mp4, webm and mov: frames go through a pipe into the ffmpeg program that the package imageio-ffmpeg brings."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass

import numpy as np

from sgtool.errors import UserError
from sgtool.latents.recipes import texts

MOST_LINES = 20
READING = 60  # seconds that ffmpeg has to look into a file
PATIENCE = 600  # seconds that ffmpeg has for what it still holds when the last frame is given


@dataclass(frozen=True)
class Codec:
    """An encoder of ffmpeg."""

    encoder: str
    pixels: str = "yuv420p"  # how it stores opaque pictures
    with_alpha: str | None = None  # how it stores transparent ones; None = it cannot
    quality: int | None = None  # what it takes if nothing is said; None = it has no such number
    worst: int = 51  # largest quality number
    option: str = "-crf"  # of the quality number
    more: tuple = ()
    more_with_alpha: tuple = ()

    def even(self, alpha):
        """Tell whether sides must be even, because colours are stored for 2x2 pixels."""
        return "420" in (self.with_alpha if alpha else self.pixels)


CODECS = {
    "h264": Codec("libx264", quality=18),
    "h265": Codec("libx265", quality=20, more=("-tag:v", "hvc1", "-x265-params", "log-level=error")),
    "vp9": Codec(
        "libvpx-vp9", with_alpha="yuva420p", quality=24, worst=63, more=("-b:v", "0", "-row-mt", "1", "-cpu-used", "3"),
        more_with_alpha=("-auto-alt-ref", "0"),
    ),
    "av1": Codec("libsvtav1", quality=30, worst=63, more=("-preset", "8", "-svtav1-params", "log-level=0")),
    "prores": Codec("prores_ks", "yuv422p10le", "yuva444p10le", 9, 31, "-qscale:v", ("-profile:v", "3"), ("-profile:v", "4")),
    "png": Codec("png", "rgb24", "rgba"),
}  # fmt: skip
NAMES = {codec.encoder: name for name, codec in CODECS.items()} | {"hevc": "h265", "x264": "h264", "x265": "h265"}
MUXERS = {".mp4": "mp4", ".mov": "mov", ".webm": "webm"}


def executable(name):
    """Return where the ffmpeg program is; `name` is the file that needs it.

    Raises:
        UserError: it is not there.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            f'{name} needs ffmpeg. Run: pip install "sgtool[video]"; '
            "or write .gif, .webp, .apng or a folder of frames, which need nothing."
        ) from error
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError("imageio-ffmpeg finds no ffmpeg program. Run: pip install --force-reinstall imageio-ffmpeg") from error


def codec_for(ending, name, alpha):
    """Return the `Codec` of a name: a row of CODECS, or else an encoder of ffmpeg; None = what suits the ending."""
    if name is None:
        name = "vp9" if ending == ".webm" else "prores" if ending == ".mov" and alpha else "h264"
    name = NAMES.get(name.lower(), name.lower())
    return CODECS.get(name) or Codec(name)


def stored_recipe(path):
    """Return the recipe text in a video file, None if there is none.

    Raises:
        UserError: ffmpeg is not there.
    """
    command = [executable(path.name), "-nostdin", "-loglevel", "error"]
    command += ["-protocol_whitelist", "file,pipe", "-format_whitelist", "mov,matroska"]  # no playlist under a video's name
    command += ["-i", f"file:{path}", "-f", "ffmetadata", "-"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=READING)
    except subprocess.TimeoutExpired:  # one of ours takes a fraction of a second
        return None
    lines = re.split(r"(?<!\\)\n", done.stdout.decode("utf-8", "replace"))
    for line in lines:
        key, _, value = line.partition("=")
        if key.lower() == "comment":
            return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
    return None


class Ffmpeg:
    """A run of ffmpeg that takes frames and writes a video."""

    def __init__(self, path, ending, size, fps, channels, codec, quality, recipe):
        """Start it.

        Args:
            path: the file it writes; what is there is replaced.
            ending: a key of MUXERS.
            size: (height, width) of the frames.
            fps: frames a second.
            channels: 3, or 4 if alpha is to be kept.
            codec: `Codec`.
            quality: its number; None = its default.
            recipe: dict, kept as the comment.
        """
        self.path, self.channels = path, channels
        self.pad = [(0, side % 2) for side in size] + [(0, 0)] if codec.even(channels == 4) else None
        height, width = (side + (side % 2 if self.pad else 0) for side in size)
        self.about = path.with_name(f"{path.name}.txt")
        self.about.write_text(_metadata(recipe), encoding="utf-8")
        pixels = "rgba" if channels == 4 else "rgb24"
        command = [executable(path.name), "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixels]
        command += ["-s", f"{width}x{height}", "-framerate", f"{fps}", "-i", "-", "-f", "ffmetadata", "-i", f"file:{self.about}"]
        command += ["-map", "0:v", "-map_metadata", "1", *_encoding(codec, quality, channels == 4)]
        command += ["-movflags", "+faststart"] if ending != ".webm" else []
        self.process = subprocess.Popen(
            [*command, "-f", MUXERS[ending], f"file:{path}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, **_apart(),
        )  # fmt: skip
        self.words = []  # what it said first, which is the cause; the rest is read and dropped
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()

    def _listen(self):
        for line in self.process.stderr:
            if len(self.words) < MOST_LINES:
                self.words.append(line.decode("utf-8", "replace").strip())

    def put(self, frame):
        """Add a frame, uint8 `[H, W, channels]`."""
        if self.pad:
            frame = np.pad(frame, self.pad, mode="edge")
        try:
            self.process.stdin.write(np.ascontiguousarray(frame).data)
        except (BrokenPipeError, ConnectionError) as error:
            raise self._failed() from error
        except OSError as error:  # Windows says EINVAL for a broken pipe
            if self.process.poll() is None:
                raise
            raise self._failed() from error

    def finish(self):
        """Wait until the video is complete."""
        try:
            self.process.stdin.close()
            code = self.process.wait(PATIENCE)
        except (BrokenPipeError, subprocess.TimeoutExpired) as error:
            raise self._failed() from error
        self.reader.join()
        if code:
            raise self._failed()

    def close(self):
        """End it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(OSError):  # a pipe that broke cannot be flushed
            self.process.stdin.close()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()

    def _failed(self):
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join()
        lines = [re.sub(r"^(\[[^\]]*\]\s*)+", "", line) for line in self.words]
        reason = next(filter(None, lines), _ended(code))[:300].rstrip(".")
        return UserError(f"ffmpeg stopped: {reason}. Check --codec, --quality and the free space of the disk.")


def _ended(code):
    return f"it ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"


def _apart():
    """Ctrl-C ends this program, which then ends ffmpeg, and not both at once."""
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {"start_new_session": True}


def _encoding(codec, quality, alpha):
    """Return the options of ffmpeg that choose the encoder."""
    pixels = codec.with_alpha if alpha else codec.pixels
    quality = codec.quality if quality is None else quality
    options = ["-c:v", codec.encoder, "-pix_fmt", pixels, *codec.more, *(codec.more_with_alpha if alpha else ())]
    options += [codec.option, str(quality)] if quality is not None else []
    if pixels.startswith("yuv"):  # said in the file, so that players do not guess the colours from the size
        options += ["-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int"]
        options += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    return options


def _metadata(recipe):
    """Return the recipe as ffmpeg reads it: https://ffmpeg.org/ffmpeg-formats.html#Metadata-1."""
    text = re.sub(r"([=;#\\\n])", r"\\\1", f"sgtool {json.dumps(recipe)}")
    return f";FFMETADATA1\ntitle={texts(recipe)['Software']}\ncomment={text}\n"
