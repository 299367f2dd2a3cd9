"""A web server on this machine that can do all that goes wrong with servers, and a cache of its own for each test."""

import contextlib
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sgtool.download import cache

DATA = random.Random(0).randbytes(3_000_001)


class Handler(BaseHTTPRequestHandler):
    """Notes each request and lets the site's route for its path answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.site.requests.append((self.path, dict(self.headers)))
        with contextlib.suppress(ConnectionError):  # the other side may have gone
            self.server.site.routes.get(self.path.partition("?")[0], answer(404, b"nothing here"))(self)

    def log_message(self, *args):
        """Be quiet."""

    def head(self, status, headers):
        """Send status and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def answer(status, body=b"", **headers):
    """A route that always answers the same; Content_Type is Content-Type."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def route(handler):
        handler.head(status, {"Content-Length": str(len(body))} | named)
        handler.wfile.write(body)

    return route


def file(data=DATA, etag='"v1"', modified=None, ranges=True, cuts=(), length=True, hold=None, **headers):
    """A route that serves a file as it should be done, but for what is asked otherwise.

    Args:
        data: its bytes.
        etag, modified: what tells its version.
        ranges: whether it goes on in the middle; "blind" does so without looking at If-Range.
        cuts: bytes after which the first, second ... answer breaks off; None = not.
        length: whether its length is told.
        hold: (bytes, event): the first answer stops after so many, until the event is set.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    left, held = list(cuts), [hold] if hold else []

    def route(handler):
        start, wanted = 0, handler.headers.get("Range")
        if wanted and (ranges == "blind" or (ranges and handler.headers.get("If-Range") in (etag, modified))):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        fields = {"ETag": etag, "Last-Modified": modified, "Content-Length": str(len(data) - start) if length else None}
        fields = {name: value for name, value in fields.items() if value} | named
        if start >= len(data):
            handler.head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
            return
        if start:
            fields["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.head(206 if start else 200, fields)
        cut = left.pop(0) if left else None
        body = data[start:] if cut is None else data[start : start + cut]
        if held:
            size, event = held.pop()
            handler.wfile.write(body[:size])
            event.wait(60)
            body = body[size:]
        handler.wfile.write(body)
        handler.close_connection = cut is not None or not length

    return route


class Site:
    """The server: its address, its routes by path, and the requests it got."""

    def __init__(self, server):
        server.site = self
        self.port = server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.routes, self.requests = {}, []

    def url(self, route, path="/models/ffhq.pkl"):
        """Serve a route; returns its address."""
        self.routes[path] = route
        return self.address + path

    @property
    def ranges(self):
        """The Range of each request."""
        return [headers.get("Range") for _, headers in self.requests]


@contextlib.contextmanager
def serving(wrap=lambda server: None):
    """Run a server in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    wrap(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Site(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site():
    """A server on this machine."""
    with serving() as it:
        yield it


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The cache's folder of models, not made yet. Further tries come at once, and no proxy is asked."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("SGTOOL_OFFLINE", raising=False)
    monkeypatch.setattr(cache, "PAUSES", (0, 0, 0))
    return tmp_path / "cache" / "models"


@pytest.fixture
def serve():
    """The makers of routes and servers, for tests, which cannot import this file."""

    class Makers:
        data, file, answer, serving = DATA, staticmethod(file), staticmethod(answer), staticmethod(serving)

    return Makers
