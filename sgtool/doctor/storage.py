"""Folders: the cache of compiled kernels, and room on the disks."""

import shutil
import tempfile
from pathlib import Path

from sgtool.doctor.rows import Row

ENOUGH = 5e9  # bytes free
KEEP = "export SGTOOL_CACHE=/path/to/a/folder"


def kernel_cache():
    """Where compiled kernels lie, how many, whether more can be written, and room on that disk."""
    from sgtool.ops.cubins import cache_folder

    name, folder = "kernel cache", cache_folder()
    there = _existing(folder)
    reason = _cannot_write(there)
    if reason:
        remedy = f"compiled kernels cannot be kept, so each start on a GPU compiles them again; name another folder: {KEEP}"
        return Row(name, f"{folder} cannot be written ({reason})", "missing", remedy, {"folder": str(folder), "writable": False})
    files = [path for path in folder.glob("*.cubin") if path.is_file()] if folder.is_dir() else []
    size, free = sum(path.stat().st_size for path in files), shutil.disk_usage(there).free
    found = f"{folder}, {_files(len(files))}, {size / 1e6:.1f} MB, can be written, {free / 1e9:.1f} GB free"
    details = {"folder": str(folder), "writable": True, "files": len(files), "bytes": size, "free_gb": free / 1e9}
    return Row(name, found, *_room(free, f"name a folder on another disk: {KEEP}"), details=details)


def disk():
    """Room in the current folder, where runs and datasets usually go."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    remedy = "free some, or name another disk with --outdir; to see what takes it: du -sh *"
    return Row("disk", f"{folder}, {free / 1e9:.1f} GB free", *_room(free, remedy), details={"free_gb": free / 1e9})


def _files(number):
    return "1 file" if number == 1 else f"{number} files"


def _existing(folder):
    """The folder, or the nearest one above it that exists (or the file that is in the way)."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _cannot_write(folder):
    """Why a file cannot be written in a folder; None if it can. It is tried: permissions do not tell (root, read-only disks)."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"sgtool")
            file.flush()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _room(free, remedy):
    """(state, remedy) for some bytes of free disk."""
    if free >= ENOUGH:
        return "ok", None
    return "missing", f"{free / 1e9:.1f} GB of disk are free, and a run writes a few; {remedy}"
