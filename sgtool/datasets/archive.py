"""Writing a dataset: a zip or a folder that is complete or not there at all."""

import contextlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from sgtool.errors import UserError
from sgtool.files import atomic_write, make_folder, sync_folder
from sgtool.images import to_pil

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: equal contents make equal archives


def picture_name(index):
    """Name the picture number `index` as NVIDIA's datasets do: 1234 is `00001/img00001234.png`."""
    number = f"{index:08d}"
    return f"{number[:5]}/img{number}.png"


def encode_png(picture):
    """Encode a uint8 picture `[H, W, C]` as PNG bytes, not compressed, so that training reads it fast."""
    buffer = io.BytesIO()
    to_pil(picture).save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()


def is_zip_name(path):
    """Tell whether a dataset of this name is a zip; every other name is a folder."""
    return Path(path).suffix.lower() == ".zip"


def check_destination(dest, source, force=False):
    """Refuse a destination that would overwrite something or be read back as input.

    Args:
        dest: zip or folder to write.
        source: what is read.
        force: an existing zip, or a folder that holds a dataset, may be replaced.
    """
    dest, inside = Path(dest), Path(dest).resolve()
    outside = Path(source).resolve()
    if inside == outside or (not is_zip_name(dest) and outside.is_dir() and outside in inside.parents):
        raise UserError(f"DEST {dest} is, or lies inside, the source {source}. Choose another place.")
    if not dest.exists():
        return
    if is_zip_name(dest) != dest.is_file():
        raise UserError(f"DEST {dest} exists and is no {'zip file' if is_zip_name(dest) else 'folder'}. Choose another name.")
    if dest.is_dir() and (not any(dest.iterdir()) or (force and (dest / "dataset.json").is_file())):
        return
    if dest.is_dir() and force:
        raise UserError(f"DEST {dest} is a folder that holds no dataset, so --force does not delete it. Choose another name.")
    if not force:
        raise UserError(f"DEST {dest} already exists. Choose another name, or add --force to replace it.")


@contextlib.contextmanager
def open_archive(dest):
    """Yield `add(name, data)`; what was added appears at `dest` when the block ends well, and leaves no trace if not."""
    dest = Path(dest)
    make_folder(dest.resolve().parent, "DEST")
    with _zip_writer(dest) if is_zip_name(dest) else _folder_writer(dest) as add:
        yield add


@contextlib.contextmanager
def _zip_writer(dest):
    with atomic_write(dest) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def add(name, data):
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # as on Unix, wherever it is made
            archive.writestr(info, data)

        yield add


@contextlib.contextmanager
def _folder_writer(dest):
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=dest.resolve().parent, prefix=f".{dest.name}.", suffix=".part"))
        root = temporary / "new"  # made by mkdir, so that it has the usual permissions
        root.mkdir()

        def add(name, data):
            path = root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

        yield add
        if dest.exists():
            os.rename(dest, temporary / "old")
        os.rename(root, dest)
        sync_folder(dest.resolve().parent)
    except OSError as error:
        raise UserError(f"{dest} could not be written: {error.strerror or error}. Free some space or choose another.") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
