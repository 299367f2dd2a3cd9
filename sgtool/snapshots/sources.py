"""Where a model comes from: a file or a run folder."""

import re
from pathlib import Path

from sgtool.errors import UserError


def find(path_or_url):
    """Return the snapshot file meant by a path: the file itself, or the newest network-snapshot-*.pkl of a folder.

    Raises:
        UserError: it is a URL, does not exist, or is a folder without snapshots.
    """
    if re.match(r"[a-z][a-z0-9+.-]+://", str(path_or_url), re.IGNORECASE):
        raise UserError(f"{path_or_url} is a URL, and this version does not download. Download it and give the file.")
    path = Path(path_or_url)
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path} does not exist. Give a snapshot (network-snapshot-*.pkl) or a run folder.")
        return path
    matches = ((re.fullmatch(r"network-snapshot-([0-9]+)\.pkl", file.name), file) for file in path.iterdir())
    numbered = [(int(match[1]), file) for match, file in matches if match]
    if not numbered:
        raise UserError(f"{path} holds no network-snapshot-*.pkl. Give a run folder that has one, or the file itself.")
    return max(numbered)[1]
