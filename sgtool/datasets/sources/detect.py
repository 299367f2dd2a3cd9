"""Finding out what a source is: by what it contains, then by its name."""

import os
import zipfile
from pathlib import Path

from sgtool.datasets.sources.arrays import MAGIC as NPY_MAGIC
from sgtool.datasets.sources.arrays import npy_source
from sgtool.datasets.sources.cifar import cifar_source, is_cifar
from sgtool.datasets.sources.decode import count_frames, examine
from sgtool.datasets.sources.demo import demo_source
from sgtool.datasets.sources.folder import Walk, folder_source
from sgtool.datasets.sources.formats import EXTENSIONS, VIDEO_EXTENSIONS, extension, is_hidden, is_picture_name
from sgtool.datasets.sources.frames import with_all_frames, with_videos
from sgtool.datasets.sources.idx import idx_in_folder, idx_source, is_idx
from sgtool.datasets.sources.lsun import DATA as LMDB_FILE
from sgtool.datasets.sources.lsun import is_lmdb, lsun_source
from sgtool.datasets.sources.npz import is_npz, npz_source
from sgtool.datasets.sources.patterns import is_pattern, matching
from sgtool.datasets.sources.pictures import FilePicture, open_regular, stamp_of
from sgtool.datasets.sources.sheet import sheet_source
from sgtool.datasets.sources.source import Source
from sgtool.datasets.sources.tarred import ENDINGS as TAR_ENDINGS
from sgtool.datasets.sources.tarred import Tar, is_tar, tar_source
from sgtool.datasets.sources.tfrecord import is_tfrecord, tfrecord_source, tfrecords_in_folder
from sgtool.datasets.sources.zipped import zip_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError

READ = (
    "Give a folder of pictures, a zip, a tar, a sprite sheet with --tile, a video, an LSUN LMDB, CIFAR or MNIST files, "
    "StyleGAN's TFRecords, an .npy or .npz array, or demo:digits."
)
TFRECORD_ENDINGS = (".tfrecords", ".tfrecord")


def open_source(source, tile=None, frames="first", every=None):
    """Find out what `source` is and list its pictures.

    Args:
        source: folder, file, pattern of tar files, or `demo:digits`; see docs/prepare.md for all that is read.
        tile: (width, height) of the tiles of a sprite sheet in pixels, or None.
        frames: "first" or "all" of the pictures in an animation (GIF, WebP, APNG, AVIF) or TIFF.
        every: take each `every`-th frame of videos. None takes all if there is nothing but videos, and leaves videos beside
            pictures out.
    Returns:
        `Source`.
    Raises:
        UserError: it is not there, it is none of these, it is damaged, or it holds no picture.
    """
    if frames not in ("first", "all") or (every is not None and every < 1):
        raise ValueError(f'frames must be "first" or "all" and every at least 1, not {frames!r} and {every}')
    source = str(source)
    path = Path(source)
    check_there(source)
    if tile is not None:
        return sheet_source(path, tile)
    if source.startswith("demo:"):
        return demo_source(source)
    if path.is_dir():
        found = _open_folder(path, every)
    elif path.exists():
        found = _open_file(path, frames, every)
    else:
        found = _open_tars(matching(source))
    return with_all_frames(found) if frames == "all" else found


def check_there(source):
    """Raise `UserError` if `source` is no file, no folder, no pattern of names and no `demo:`."""
    source = str(source)
    if not source:
        raise UserError(f"SOURCE is an empty name. {READ}")
    if source.startswith("demo:") or os.path.exists(source):
        return
    if "://" in source:
        raise UserError(f"{source} is an address. Download it, and give the file or folder.")
    if not is_pattern(source):
        raise UserError(f"{source} does not exist. {READ}")


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def _open_folder(folder, every):
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}. Change its permissions, or give another.") from error
    what, opener = _collection(folder, names)
    if opener is not None and not any(is_picture_name(name) for name in names):
        return opener()
    walk = Walk(folder)
    videos = {name: walk.path(name) for name in walk.names if _is_video_name(name)}
    if every is not None and not videos:
        raise UserError(f"--every {every}: {folder} holds no video. Leave the option out.")
    if videos and not any(is_picture_name(name) for name in walk.names):
        return _only_videos(videos, every, walk)
    if not videos and not any(is_picture_name(name) for name in walk.names):
        _look_deeper(folder, walk.names)
    source = folder_source(folder, walk)
    if opener is not None:
        source.warnings.append(f"{folder} holds pictures and {what}. The pictures were used; to use the others, move them apart.")
    if not videos:
        return source
    if every is not None:
        return with_videos(source, videos, every)
    source.warnings.append(f"{len(videos)} videos beside the pictures were left out. --every 30 takes each 30th frame too.")
    return source


def _collection(folder, names):
    """Recognize a folder that is one collection in files of its own. Returns what it is, and a function that opens it."""
    if is_lmdb(folder):
        return "an LMDB", lambda: lsun_source(folder)
    if is_cifar(names):
        return "CIFAR files", lambda: cifar_source(folder)
    if any("idx3" in name for name in names):
        path, warnings = idx_in_folder(folder)
        if path is not None:
            return "MNIST files", lambda: _warned(idx_source(path), warnings)
    if any(name.lower().endswith(TFRECORD_ENDINGS) for name in names):
        path, warnings = tfrecords_in_folder(folder)
        if path is not None:
            return "TFRecord files", lambda: _warned(tfrecord_source(path), warnings)
    tars = sorted(name for name in names if name.lower().endswith(TAR_ENDINGS) and not is_hidden(name))
    if tars:
        return "tar files", lambda: _open_tars([folder / name for name in tars])
    return None, None


def _warned(source, warnings):
    source.warnings.extend(warnings)
    return source


def _look_deeper(folder, names):
    """Raise with a hint if a folder without pictures has a collection further down."""
    below = {}
    for name in sorted(names):
        here, _, file = name.rpartition("/")
        below.setdefault(here, []).append(file)
    for here, files in below.items():
        ending = {extension(name) for name in files}
        known = LMDB_FILE in files or is_cifar(files) or any("idx3" in name for name in files)
        if here and (known or ending & {".tar", ".tfrecords", ".tfrecord"}):
            raise UserError(f"{folder} holds no pictures, but {here} in it can be read. Give {folder / here}")
    one = next((name for name in sorted(names) if extension(name) in (".npz", ".npy", ".zip")), None)
    if one:
        raise UserError(f"{folder} holds no pictures, but {one} can be read. Give {folder / one}")


def _is_video_name(name):
    return extension(name) in VIDEO_EXTENSIONS and not is_hidden(name)


def _only_videos(videos, every, walk=None):
    source = with_videos(None, videos, every or 1)
    if walk is not None:
        source.ignored_files = len(walk.names) - len(videos) + sum(walk.counts.values())
        others = {"not pictures": len(walk.names) - len(videos), **walk.counts}
        source.counts = {reason: number for reason, number in others.items() if number}
    if every is None:
        source.warnings.append("Every frame of the video was taken, and neighbours are nearly equal. --every 30 takes each 30th.")
    return source


# ---------------------------------------------------------------------------------------------------------------------
# Files


def _open_file(path, frames, every):
    head = _head(path)
    kind, ending, opener = _kind(path, head, frames, every)
    if opener is None:
        raise _unknown(path)
    source = opener()
    if every is not None and kind != "a video":
        raise UserError(f"--every {every}: {path} is {kind}, no video. Leave the option out.")
    if _says_otherwise(path, ending):
        source.warnings.append(f"{path.name} was read as {kind}, which it is, whatever its name says.")
    return source


def _head(path):
    try:
        with open_regular(path) as file:
            head = file.read(64)
    except Skip as skip:
        raise UserError(f"{path} is {skip}. {READ}") from skip
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Change its permissions, or give another.") from error
    if not head:
        raise UserError(f"{path} is empty. Copy or download it again.")
    return head


def _kind(path, head, frames, every):
    """Recognize a file. Returns what it is, the endings that say so, and a function that opens it (None: unknown)."""
    ending = extension(path.name)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        if is_npz(path):
            return "an .npz of arrays", (".npz",), lambda: npz_source(path)
        return "a zip", (".zip",), lambda: zip_source(path)
    if head.startswith(NPY_MAGIC):
        return "an array", (".npy",), lambda: npy_source(path)
    if is_tar(path):
        return "a tar", TAR_ENDINGS, lambda: _open_tars([path])
    if path.name == LMDB_FILE:
        return "an LMDB", (".mdb",), lambda: lsun_source(path.parent)
    if is_tfrecord(path):
        return "a TFRecord file", TFRECORD_ENDINGS, lambda: tfrecord_source(path)
    if is_idx(path):
        return "an idx file", ("ubyte", ".idx", ".gz"), lambda: idx_source(path)
    if ending in EXTENSIONS or _is_picture(path):
        return "a picture", tuple(EXTENSIONS), lambda: _open_picture(path, frames)
    if ending in VIDEO_EXTENSIONS or _is_video(head):
        return "a video", tuple(VIDEO_EXTENSIONS), lambda: _only_videos({path.name: str(path)}, every)
    if ending in (".zip", ".npz") or zipfile.is_zipfile(path):
        return "a zip", (".zip",), lambda: zip_source(path)
    if path.name.lower().endswith(TAR_ENDINGS):
        return "a tar", TAR_ENDINGS, lambda: _open_tars([path])
    return None, (), None


def _says_otherwise(path, endings):
    """Tell whether a file's name ends like one of another kind."""
    known = {".zip", ".npz", ".npy", ".mdb", *TAR_ENDINGS, *TFRECORD_ENDINGS, *EXTENSIONS, *VIDEO_EXTENSIONS}
    return extension(path.name) in known and not path.name.lower().endswith(tuple(endings))


def _is_picture(path):
    try:
        examine(FilePicture(str(path)))
    except Skip:
        return False
    return True


def _is_video(head):
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return riff or head[4:8] == b"ftyp" or head[:4] == b"\x1aE\xdf\xa3"


def _open_tars(paths):
    tars = [Tar(path) for path in paths]
    if len(paths) == 1 and is_cifar(tars[0].files):
        return cifar_source(paths[0], tars[0])
    return tar_source(paths, tars)


def _open_picture(path, frames):
    """A single picture is a source only if it is an animation, or has pages, and all are taken."""
    source = Source([path.name], lambda i: FilePicture(str(path)), stamps=[(str(path), *stamp_of(path))])
    if frames == "all":
        source = with_all_frames(source)
    if len(source.names) > 1:
        return source
    several = frames == "first" and _frames(path) > 1
    hint = "To take its frames: --frames all" if several else "Or cut a sprite sheet into tiles: --tile 24"
    raise UserError(f"{path} is a single picture. Give a folder of pictures. {hint}")


def _frames(path):
    try:
        return count_frames(FilePicture(str(path)))
    except Skip:
        return 1


def _unknown(path):
    if is_cifar(os.listdir(path.parent)):
        return UserError(f"{path} is one file of a CIFAR archive. Give the folder {path.parent}")
    return UserError(f"{path} is nothing that is read. {READ}")
