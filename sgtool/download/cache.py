"""The cache: one download among processes, and a SHA-256 for each file that it is held against ever after.

A file `x.pkl` has beside it `x.pkl.json`, its record; while it is fetched `x.pkl.part` and `x.pkl.part.json`; and
`.x.pkl.lock`, which is empty.
"""

import contextlib
import json
import os
import re
import time
from datetime import datetime, timezone

from sgtool.download.address import BY_HAND, file_name, shown
from sgtool.download.part import Part, read_json
from sgtool.download.reasons import Broken, amount, not_writable
from sgtool.download.transfer import receive
from sgtool.errors import UserError
from sgtool.files import cache_folder, sha256_of, sync_folder, try_lock, write_text

PAUSES = (1, 3, 10, 30)  # seconds before each further try
STEP = 1 << 20  # bytes: a try that brings so many starts the count of tries again


def fetch(url, kind="models", *, sha256=None, label=None, offline=False, progress=True, say=lambda text: None):
    """Return a file from the web: from the cache, after checking it, or else downloaded into it.

    Its SHA-256 is recorded when it is downloaded and compared ever after. A broken download goes on where it stopped, in the
    next try or the next call, if the server still has the same file; other processes that want the file wait meanwhile.

    Args:
        url: http or https; a user name and password in it are used, and are in no message and no file.
        kind: folder of the cache.
        sha256: 64 hexadecimal digits, if they are known beforehand: any other file is not kept.
        label: what it is, for the line that says that it is downloaded.
        offline: take it from the cache or not at all. So does the environment, by SGTOOL_OFFLINE=1.
        progress: show a bar with rate and time left on stderr, if that is a terminal.
        say: called with lines on what happens.
    Returns:
        Path of the file in the cache.
    Raises:
        UserError: it cannot be had, or is not what it was; says what to do.
    """
    path = cached_path(url, kind)
    if not os.path.exists(path):
        if is_offline(offline):
            raise UserError(
                f"{label or shown(url)} is not in the cache ({path.parent}), and nothing is downloaded offline. "
                f"Run once without --offline and SGTOOL_OFFLINE, or download {shown(url)} elsewhere and give the file."
            )
        with _locked(path, say):
            if not os.path.exists(path):
                _download(url, path, sha256, label, progress, say)
                return path
    _check(path, sha256)
    return path


def is_offline(asked=False):
    """Return True if nothing may be downloaded: it was asked for, or SGTOOL_OFFLINE is set, to anything but 0, false or no."""
    return bool(asked) or os.environ.get("SGTOOL_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def cached_path(url, kind="models"):
    """Return where the file of a URL lies, once it is there."""
    return cache_folder(kind) / file_name(url)


def _record_of(path):
    return path.with_name(path.name + ".json")


def _check(path, sha256):
    """Raise UserError unless a file is what it was when it was downloaded, or what `sha256` says."""
    known = sha256 or read_json(_record_of(path)).get("sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", str(known)):
        raise UserError(
            f"{path} cannot be checked: its record {path.name}.json is missing or damaged. "
            "Delete the file to download it again, or copy it elsewhere and give the copy."
        )
    try:
        found = sha256_of(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}). Delete it to download it again.") from error
    if found != known:
        raise UserError(
            f"{path} is not what it should be: its SHA-256 is {found}, not {known}. "
            "Delete it to download it again, or, if you trust it, copy it elsewhere and give the copy."
        )


@contextlib.contextmanager
def _locked(path, say):
    """Hold a file's place in the cache; the system lets go of it when the process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path.parent / f".{path.name}.lock", "ab")  # noqa: SIM115 (closed below, by the lock)
    except OSError as error:
        raise not_writable(path.parent, error) from error
    with file:
        waiting = False
        while not _lock(file, path.parent):
            if not waiting:
                say(f"Another process is downloading {path.name}: waiting for it.")
            waiting = True
            time.sleep(0.1)
        yield


def _lock(file, folder):
    """Try to lock an open file. Returns False if another process has it."""
    try:
        return try_lock(file)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"Nothing can be locked in {folder} ({reason}). Name a folder on a local disk: SGTOOL_CACHE=/path"
        ) from error


def _download(url, path, sha256, label, progress, say):
    """Download a file, in as many tries as it takes while they get on, then keep it. Call it with the place locked."""
    part, tries = Part(path.with_name(path.name + ".part")), 0
    say(f"Downloading {label or shown(url)} into {path.parent}")
    try:
        while True:
            before = part.size
            try:
                receive(url, part, progress, say)
                break
            except Broken as error:
                gained = part.size - before
                tries = 1 if gained >= STEP else tries + 1
                if tries > len(PAUSES) or (tries == 1 and not error.answered):
                    raise _given_up(part, error) from error
                pause = max(PAUSES[tries - 1], min(error.wait, 60))
                say(f"{error} Trying again in {pause:g} s.")
                time.sleep(pause)
    except KeyboardInterrupt:
        say("Stopped. What has arrived is kept: run again to go on from there.")
        raise
    _keep(url, part, path, sha256)


def _given_up(part, error):
    if part.size:
        return UserError(f"{error} {amount(part.size)} have arrived and are kept: run again to go on from there.")
    return UserError(f"{error} Check the address and the network and run again, or {BY_HAND}.")


def _keep(url, part, path, sha256):
    """Check a whole part, record what it is, and give it its name."""
    digest = sha256_of(part.path)
    if sha256 and digest != sha256:
        part.forget()
        raise UserError(
            f"{shown(url)} is not the known file: its SHA-256 is {digest}, not {sha256}, and it is not kept. "
            f"Run again in case it was damaged on the way; if you trust it as it is, {BY_HAND}."
        )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    record = {"url": shown(url), "sha256": digest, "size": part.size, "date": now, **part.version}
    write_text(_record_of(path), json.dumps(record, indent=2) + "\n")
    try:
        os.replace(part.path, path)
    except OSError as error:
        raise not_writable(path.parent, error) from error
    sync_folder(path.parent)
    part.forget()
