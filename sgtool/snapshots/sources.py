"""Where a model comes from: a file, a run folder, a web address, or the name of a published model."""

import difflib
import re
from pathlib import Path

from sgtool.errors import UserError
from sgtool.snapshots.known import KNOWN

ENDINGS = (".pkl", ".pt", ".pth", ".ckpt", ".safetensors")  # of files that may be models
ADDRESS = r"[a-z][a-z0-9+.-]+://"


def find(path_or_url, offline=False, progress=True, say=lambda text: None):
    """Return the model file that is meant, after downloading it if need be.

    Args:
        path_or_url: a file; a folder, which means its newest network-snapshot-*.pkl; an http or https address; or a name in
            `KNOWN`. A file or folder of that name goes before the name.
        offline: download nothing; what was downloaded before is found. SGTOOL_OFFLINE=1 says the same.
        progress: show a bar on stderr while downloading, if that is a terminal.
        say: called with lines on a download.
    Raises:
        UserError: there is no such thing, or it cannot be had.
    """
    text = str(path_or_url)
    if not text.strip():
        raise UserError("The model's name is empty. Give a file, a run folder, an address or a known name, like ffhq256.")
    if re.match(ADDRESS, text, re.IGNORECASE):
        return _fetched(text, offline=offline, progress=progress, say=say)
    path = Path(path_or_url)
    try:
        if path.is_dir():
            return _newest(path)
        if path.exists():
            return path
    except OSError as error:
        raise UserError(f"{text[:200]} cannot be opened ({error.strerror or error}). Check the path.") from error
    if text not in KNOWN:
        raise UserError(_unknown(text))
    label = f"{text} ({KNOWN[text].what}; NVIDIA's, under NVIDIA's licence)"
    return _fetched(KNOWN[text].url, sha256=KNOWN[text].sha256, label=label, offline=offline, progress=progress, say=say)


def _fetched(url, **options):
    from sgtool.download import fetch  # here, because it imports requests, which takes longer than all else

    return fetch(url, "models", **options)


def _newest(folder):
    """Return the snapshot with the highest number in a folder, NVIDIA's or sgtool's."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    matches = ((re.fullmatch(r"network-snapshot-([0-9]+)\.pkl", file.name), file) for file in files)
    numbered = [(int(match[1]), file) for match, file in matches if match]
    if numbered:
        return max(numbered)[1]
    others = [file for file in files if file.suffix.lower() in ENDINGS and not file.name.startswith("checkpoint")]
    if len(others) == 1:
        remedy = f"Its one model file has another name: give {others[0]}."
    elif others:
        remedy = f"Give one of its model files, like {others[-1]}."
    else:
        remedy = "Give a run folder that has one, or the file itself."
    if str(folder) in KNOWN:
        remedy += f" For the published model of that name give its address, {KNOWN[str(folder)].url}"
    raise UserError(f"{folder} holds no network-snapshot-*.pkl. {remedy}")


def _unknown(text):
    """Say that there is no such thing, and what else could have been meant."""
    close = difflib.get_close_matches(re.sub(r"\.pkl$", "", text.lower()), KNOWN, n=3)
    if close:
        return f"{text} is neither a file nor a known model. Did you mean {' or '.join(close)}?"
    if Path(text).suffix.lower() in ENDINGS or Path(text).name != text:
        return f"{text} does not exist. Give a model file, a run folder, an address or a known name, like ffhq256."
    return f"{text} is neither a file nor a known model. Known: {', '.join(KNOWN)}."
