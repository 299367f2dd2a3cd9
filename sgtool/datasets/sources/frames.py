"""Several pictures in one file: animations, pages, and videos become one picture each frame, `name.gif#000003`."""

import re

import numpy as np

from sgtool.datasets.sources import ffmpeg
from sgtool.datasets.sources.decode import count_frames, reading
from sgtool.datasets.sources.formats import ANIMATED_EXTENSIONS, extension
from sgtool.datasets.sources.kept import close_files
from sgtool.datasets.sources.pictures import BrokenPicture, Encoded, FramePicture
from sgtool.datasets.sources.source import Source
from sgtool.datasets.sources.video import open_clip
from sgtool.datasets.transforms import Skip

MOST_FRAMES = 1_000_000  # of one file


def frame_name(name, frame):
    """Name of a frame: `clip.mp4#000120` is number 120, counted from 0."""
    return f"{name}#{frame:06d}"


def file_of(name):
    """Return the name of the file that a picture came from: that without the number of the frame."""
    return re.sub(r"#\d{6,}$", "", name)


class Still:
    """A file of one or several pictures of Pillow's formats."""

    def __init__(self, picture, frames):
        self._picture, self._frames = picture, frames

    def __len__(self):
        return self._frames

    def frame_number(self, i):
        return i

    def picture(self, i):
        return FramePicture(self._picture, i) if self._frames > 1 else self._picture


def with_all_frames(source):
    """Take all frames of the animations, and all pages of the TIFFs, of a source."""
    files = {}
    for i, name in enumerate(source.names):
        picture = source.picture(i)
        if extension(name) not in ANIMATED_EXTENSIONS or not isinstance(picture, Encoded):
            continue
        try:
            frames = min(count_frames(picture), MOST_FRAMES)
        except Skip:
            continue  # stays one picture, which is skipped with its reason when it is read
        if frames > 1:
            files[i] = Still(picture, frames)
    close_files()
    return expanded(source, files) if files else source


def with_videos(source, videos, every):
    """Add the frames of videos to a source.

    Args:
        source: `Source`, or None if there are no pictures but videos.
        videos: `{name: path as text}`.
        every: take each `every`-th frame.
    """
    ffmpeg.executable()
    names = sorted([*(source.names if source else []), *videos])
    own = {name: i for i, name in enumerate(source.names)} if source else {}
    clips, broken = {}, {}
    for i, name in enumerate(names):
        if name in videos and name not in own:
            try:
                with reading():
                    clips[i] = open_clip(videos[name], every)
            except Skip as skip:
                broken[i] = BrokenPicture(str(skip))

    def picture(i):
        return broken[i] if i in broken else source.picture(own[names[i]])

    result = expanded(Source(names, picture, *([source.text] if source else [])), clips, source)
    result.stamps = [*result.stamps, *((clip.path, *clip.stamp) for clip in clips.values())]
    return result


def expanded(source, files, rest=None):
    """Put frames in the place of some files.

    Args:
        source: gives names and pictures.
        files: `{index: what has len(), frame_number(i) and picture(i)}`.
        rest: source of all else; None = `source`.
    """
    lengths = np.ones(len(source.names), np.int64)
    lengths[list(files)] = [len(file) for file in files.values()]
    ends = np.cumsum(lengths)
    names = []
    for i, name in enumerate(source.names):
        file = files.get(i)
        names += [name] if file is None else [frame_name(name, file.frame_number(k)) for k in range(len(file))]

    def picture(i):
        file = int(np.searchsorted(ends, i, "right"))
        return files[file].picture(int(i - ends[file] + lengths[file])) if file in files else source.picture(file)

    rest = rest or source
    labels = rest.labels
    if labels is not None:
        labels = {name: labels[file_of(name)] for name in names if file_of(name) in labels}
    return Source(
        names,
        picture,
        source.text,
        labels=labels,
        class_names=rest.class_names,
        ignored_files=rest.ignored_files,
        counts=rest.counts,
        warnings=rest.warnings,
        stamps=rest.stamps,
        keep=(source.keep, rest.keep),
    )
