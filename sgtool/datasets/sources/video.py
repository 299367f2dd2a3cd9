"""Videos: every n-th frame is a picture, `clip.mp4#000120`."""

from dataclasses import dataclass

from sgtool.datasets.sources import ffmpeg
from sgtool.datasets.sources.kept import drop, kept
from sgtool.datasets.sources.pictures import Raw, stamp_of
from sgtool.datasets.transforms import Skip

BLOCK = 512  # frames: decoding begins at a multiple of so many, wherever a picture is asked for


@dataclass(frozen=True)
class VideoPicture(Raw):
    """One frame of a video.

    What it shows does not depend on which frames were read before: decoding always begins at the start of its block.

    Attributes:
        frame: its number in the video, from 0.
        first: number of the first frame of its block.
        seek: seconds at which the block begins; None = the start of the video.
        every: distance of the frames that are taken.
    """

    path: str
    stamp: tuple
    frame: int
    first: int
    seek: float | None
    every: int

    def pixels(self):
        if stamp_of(self.path) != tuple(self.stamp):
            raise Skip("the video has changed meanwhile", unreadable=True)
        key = (self.path, self.stamp, self.first, self.every, "video")
        position = (self.frame - self.first) // self.every
        decoder = kept(key, self._open)
        if decoder.position > position:
            drop(key)
            decoder = kept(key, self._open)
        try:
            return decoder.frame(position)
        except Skip:
            drop(key)
            raise

    def shape(self):
        key = (self.path, self.stamp)
        if key not in _shapes:
            _shapes.clear()
            _shapes[key] = self.pixels().shape
        return _shapes[key]

    def _open(self):
        return ffmpeg.Decoder(self.path, self.seek, self.every)


_shapes = {}  # of the video looked at last: all its frames have one shape


@dataclass(frozen=True)
class Clip:
    """The frames of one video that are taken."""

    path: str
    stamp: tuple
    timeline: ffmpeg.Timeline
    every: int

    def __len__(self):
        return -(-self.timeline.number // self.every)

    def frame_number(self, i):
        """Number in the video of the frame that is taken as number `i`."""
        return i * self.every

    def picture(self, i):
        """The frame that is taken as number `i`."""
        frame = self.frame_number(i)
        block = max(1, BLOCK // self.every) * self.every
        first = frame // block * block if self.timeline.times is not None else 0
        seek = self.timeline.seek(first)
        return VideoPicture(self.path, self.stamp, frame, first, None if seek is None else float(seek), self.every)


def open_clip(path, every):
    """Look at a video.

    Args:
        path: text.
        every: take each `every`-th frame, from the first.
    Raises:
        Skip: it cannot be read.
    """
    return Clip(path, stamp_of(path), ffmpeg.timeline(path), every)
