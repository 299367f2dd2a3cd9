"""What has arrived of a file, and of which version of it."""

import json

from sgtool.files import write_text


class Part:
    """What has arrived of a file (`.part`), and beside it which version of the file that is (`.part.json`)."""

    def __init__(self, path):
        self.path, self.notes = path, path.with_name(path.name + ".json")

    @property
    def size(self):
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self):
        """{"etag", "last_modified"} as the server gave them; empty if not known."""
        return read_json(self.notes)

    def begin(self, version):
        """Empty it, then note the version, in that order: old bytes never stand beside a new version."""
        with open(self.path, "wb"):
            pass
        write_text(self.notes, json.dumps(version) + "\n")

    def forget(self):
        """Remove it."""
        for path in (self.path, self.notes):
            path.unlink(missing_ok=True)


def read_json(path):
    """Return a dict from a JSON file, empty if there is none that can be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
