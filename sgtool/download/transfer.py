"""One try at a download: ask, go on in the middle if that is possible, and append what comes to a part."""

import contextlib
import os
import re
import shutil
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm

from sgtool import __version__
from sgtool.download.address import BY_HAND, parts_of, printable, shown
from sgtool.download.reasons import Broken, amount, not_writable, reason_of
from sgtool.errors import UserError

TIMEOUT = (15, 60)  # seconds to connect, and without a byte
CHUNK = 1 << 16  # bytes written at once: at most so many are lost with the process
REDIRECTS = 10
PAGES = ("text/html", "application/xhtml+xml", "application/json", "application/xml", "text/xml")


def receive(url, part, progress, say):
    """Ask for a file, or for the rest of it, and append what comes to a `Part`.

    The rest is asked for with `Range` and `If-Range`, so that a server whose file has changed sends it from the beginning.

    Raises:
        Broken: it is not whole, and another try may help.
        UserError: no other try will help.
    """
    have, version = part.size, part.version
    validator = version.get("etag") or version.get("last_modified")
    headers = {"Accept-Encoding": "identity", "User-Agent": f"sgtool/{__version__}"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with _answer(url, headers) as response:
        start, total = _place(url, response, part, have, version)
        if have and not start:
            say("The file has changed, or the server cannot go on in the middle: starting again.")
        if total is None:
            say("The server does not say how large the file is, so a connection that is cut may go unnoticed.")
        elif start < total:
            _check_room(part.path.parent, total - start)
        if start != total:  # a whole part has only lost its name
            _append(url, response, part, start, total, progress)
    if not part.size:
        raise UserError(f"{shown(url)}: the file there is empty. Check the address, or {BY_HAND}.")
    if total is not None and part.size != total:
        text = f"{shown(url)}: the connection broke after {amount(part.size)} of {amount(total)}."
        if part.size > total:
            part.forget()
        raise Broken(text)


class _Session(requests.Session):
    """A session that follows no redirect by itself, and so reads no redirect's body, however long that is."""

    def get_redirect_target(self, resp):
        """Hide from the session that there is a redirect."""

    def target_of(self, response):
        """Return where an answer leads to, or None."""
        return super().get_redirect_target(response)


@contextlib.contextmanager
def _answer(url, headers):
    """Ask a server, follow its redirects, and yield the answer, of which nothing is read yet.

    Each step is a request of its own, so that a user name and password in the address go to no other server.
    """
    step = url
    with _Session() as session:
        for _ in range(REDIRECTS + 1):
            with _asked(session, url, step, headers) as response:
                target = session.target_of(response)
                if target is None:
                    yield response
                    return
                step = _next_step(url, step, target)
    raise UserError(f"{shown(url)}: one address leads to the next without end. Check the address, or {BY_HAND}.")


def _asked(session, url, step, headers):
    try:
        return session.get(step, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
    except (requests.exceptions.SSLError, requests.exceptions.InvalidProxyURL) as error:
        text = f"{shown(url)}: {reason_of(error)}. Check the date and the proxy of this machine, or {BY_HAND}."
        raise UserError(text) from error
    except ValueError as error:  # InvalidURL and its like
        raise UserError(f"{shown(url)} is not an address that can be asked. Check it, or {BY_HAND}.") from error
    except (requests.RequestException, OSError) as error:
        raise Broken(f"{shown(url)}: {reason_of(error)}.", answered=False) from error


def _next_step(url, step, target):
    """Return the address that a server leads to, if that is as safe as the one before."""
    try:
        target = urljoin(step, target)
    except ValueError as error:
        raise UserError(f"{shown(url)} leads to an address that cannot be read. Check it, or {BY_HAND}.") from error
    if parts_of(target).scheme == "http" and urlsplit(step).scheme == "https":
        raise UserError(f"{shown(url)} leads to an address without encryption, which is not followed. To trust it, {BY_HAND}.")
    return target


def _place(url, response, part, have, version):
    """Return where the bytes of an answer begin, and the size of the whole file (None if that is not told)."""
    status, packed = response.status_code, _is_packed(response)
    if status == 200:
        return 0, None if packed else _whole_number(response.headers.get("Content-Length"))
    span = response.headers.get("Content-Range", "").strip()
    if status == 416 and span == f"bytes */{have}":
        return have, have
    if status == 206:
        match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", span)
        same = all(value == version.get(key) for key, value in version_of(response).items() if value)
        if match and int(match[1]) == have and same and not packed:
            return have, _whole_number(match[2])
    if status in (206, 416):
        part.forget()
        raise Broken(f"{shown(url)}: what had arrived does not fit the file there.")
    answer = f"{shown(url)}: the server answered {status} {printable(response.reason or '')[:80]}".rstrip()
    if status in (408, 425, 429) or status >= 500:
        raise Broken(f"{answer}.", wait=_whole_number(response.headers.get("Retry-After")) or 0)
    remedies = {401: "It asks for a login: ", 403: "It does not give the file to everyone: "}
    raise UserError(f"{answer}. {remedies.get(status, 'Check the address, or ')}{BY_HAND}.")


def version_of(response):
    """Return what tells one version of a file from another; weak marks, which do not tell bytes apart, are left out."""
    etag = response.headers.get("ETag", "")
    if _is_packed(response):
        return {"etag": None, "last_modified": None}
    return {"etag": etag if etag.startswith('"') else None, "last_modified": response.headers.get("Last-Modified")}


def _is_packed(response):
    return response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")


def _append(url, response, part, start, total, progress):
    """Append the bytes of an answer to a part as they come, with a bar, and make them durable."""
    chunks = _chunks(url, response)
    first = next(chunks, b"")
    if not start:
        _refuse_pages(url, response, first)
    name = part.path.name.removesuffix(".part")
    bar = tqdm(initial=start, total=total, desc=name, unit="B", unit_scale=True, disable=None if progress else True)
    try:
        with bar:
            if not start:
                part.begin(version_of(response))
            with open(part.path, "ab") as file:
                for chunk in _chain(first, chunks):
                    file.write(chunk)
                    file.flush()
                    bar.update(len(chunk))
                os.fsync(file.fileno())
    except OSError as error:
        raise not_writable(part.path.parent, error, "What has arrived is kept: free some space, then run again.") from error


def _chain(first, rest):
    yield first
    yield from rest


def _chunks(url, response):
    """Yield the bytes of an answer as they come."""
    try:
        yield from response.iter_content(CHUNK)
    except (requests.RequestException, OSError) as error:
        raise Broken(f"{shown(url)}: {reason_of(error)}.") from error


def _refuse_pages(url, response, first):
    """Raise UserError if an answer is a page to be looked at, not a file: a login, a quota, a question to confirm."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    head = first[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if re.match(rb"<!doctype html|<html|<head|<\?xml", head) or (kind in PAGES and b"\0" not in head):
        raise UserError(
            f"{shown(url)}: the server answered with a page ({printable(kind or 'HTML')}) instead of a file, "
            f"perhaps to log in or to confirm something. Give the address of the file itself, or {BY_HAND}."
        )
    if head.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{shown(url)} is a Git LFS pointer, not the file. Take the address of its download button, or {BY_HAND}."
        )


def _check_room(folder, size):
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"The download needs {amount(size)}, and {amount(free)} are free in {folder}. "
            "Free some space, or name another folder: SGTOOL_CACHE=/path"
        )


def _whole_number(text):
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None
