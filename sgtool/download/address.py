"""Web addresses: which are taken, how they are shown, and what a file from there is called."""

import hashlib
import re
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from sgtool.errors import UserError

BY_HAND = "download it in a browser and give the file"
ENDING = r"\.[A-Za-z0-9]{1,12}$"


def parts_of(url):
    """Split an address.

    Raises:
        UserError: it is not http or https, or cannot be read.
    """
    try:
        parts = urlsplit(str(url))
        readable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise UserError(f"{_bare(url)} is not an address that can be read. Check it, or {BY_HAND}.") from None
    if parts.scheme not in ("http", "https"):
        raise UserError(f"{_bare(url)}: only http and https addresses are downloaded. Give the path of a file on this machine.")
    if not readable:
        raise UserError(f"{_bare(url)} is not an address that can be read. Check it, or {BY_HAND}.")
    return parts


def shown(url):
    """Return a URL for messages and records: without user name and password, and without what follows a question mark."""
    parts = parts_of(url)
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return printable(bare) + ("?…" if parts.query else "")


def printable(text):
    """Return a text from elsewhere as a terminal may show it: control characters as \\x1b."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _bare(url):
    """Show an address that cannot be split: short, and without what could be a password."""
    return printable(re.sub(r"//[^/]*@", "//", str(url)).partition("?")[0][:200])


def file_name(url):
    """Return the name that the file at a URL has in the cache: `ffhq-2b3efe87209e.pkl`.

    It is made of the name in the URL (letters, digits, dots, dashes and underscores only) and 12 digits of the SHA-256 of
    the URL without user name and password. What a server says has no part in it.

    Raises:
        UserError: it is no http or https address.
    """
    parts = parts_of(url)
    words = [unquote(parts.path.rpartition("/")[2]), *(value for _, value in parse_qsl(parts.query))]
    word = next((word for word in words if re.search(ENDING, word)), words[0])
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", re.split(r"[/\\]", word)[-1])
    ending = match[0] if (match := re.search(ENDING, word)) else ""
    stem = word.removesuffix(ending).strip(".-")[:80] or "file"
    identity = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2].lower(), parts.path, parts.query, ""))
    return f"{stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}{ending}"
