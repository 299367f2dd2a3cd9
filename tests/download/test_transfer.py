"""Downloads over a real connection: going on in the middle, every way a server can fail, and no wrong byte in any of them."""

import errno
import gzip
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from sgtool.download import cache, cached_path, fetch, transfer
from sgtool.errors import UserError

BY_HAND = "download it in a browser and give the file."


def left(folder):
    """What lies in the cache, but for locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def put_part(url, data, notes):
    """Leave a part of a file in the cache, as a killed process does."""
    path = cached_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.part").write_bytes(data)
    path.with_name(f"{path.name}.part.json").write_text(notes)


def failure(url, **options):
    """The message of a download that fails."""
    with pytest.raises(UserError) as caught:
        fetch(url, progress=False, **options)
    return caught.value.message


def test_a_cut_connection_is_taken_up_where_it_broke(site, serve):
    url, said = site.url(serve.file(cuts=[1_000_000, 0, 500_000])), []
    assert fetch(url, say=said.append).read_bytes() == serve.data
    have = [int(text.removeprefix("bytes=").rstrip("-")) for text in site.ranges[1:]]
    assert site.ranges[0] is None
    assert 1_000_000 - (1 << 16) <= have[0] == have[1] <= 1_000_000
    assert have[1] + 500_000 - (1 << 16) <= have[2] <= have[1] + 500_000
    assert all(headers.get("If-Range") == '"v1"' for _, headers in site.requests[1:])
    assert [line.endswith("Trying again in 0 s.") for line in said] == [False, True, True, True]


def test_after_too_many_failures_the_part_is_kept_and_the_next_call_goes_on(site, serve, folder):
    url = site.url(serve.file(cuts=[300_000, 0, 0, 0]))
    assert "have arrived and are kept: run again to go on from there." in failure(url)
    assert len(site.requests) == 4
    assert [name.rpartition(".pkl")[2] for name in left(folder)] == [".part", ".part.json"]
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges[4] is not None
    assert [name.rpartition(".pkl")[2] for name in left(folder)] == ["", ".json"]


def test_tries_that_get_on_are_not_counted(site, serve, monkeypatch):
    monkeypatch.setattr(cache, "STEP", 200_000)
    url = site.url(serve.file(cuts=[300_000] * 9))
    assert fetch(url).read_bytes() == serve.data
    assert len(site.requests) > 9


@pytest.mark.parametrize(
    ("etag", "modified"), [(None, "Sat, 03 Oct 2020 10:00:00 GMT"), ('"v1"', "Sat, 03 Oct 2020 10:00:00 GMT")]
)
def test_a_date_tells_the_version_too(site, serve, etag, modified):
    url = site.url(serve.file(etag=etag, modified=modified, cuts=[1_000_000]))
    assert fetch(url).read_bytes() == serve.data
    assert site.requests[1][1]["If-Range"] == (etag or modified)


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_a_file_whose_version_is_not_told_is_fetched_from_the_beginning(site, serve, etag):
    url, said = site.url(serve.file(etag=etag, ranges="blind", cuts=[1_000_000])), []
    assert fetch(url, say=said.append).read_bytes() == serve.data
    assert site.ranges == [None, None]
    assert "starting again" in said[-1]


def test_a_server_that_cannot_go_on_in_the_middle_sends_all(site, serve):
    url, said = site.url(serve.file(ranges=False, cuts=[1_000_000])), []
    assert fetch(url, say=said.append).read_bytes() == serve.data
    assert site.ranges[1] is not None
    assert "starting again" in said[-1]


@pytest.mark.parametrize("ranges", [True, "blind"])
def test_a_file_that_changed_meanwhile_is_fetched_from_the_beginning(site, serve, ranges):
    url = site.url(serve.file())
    put_part(url, b"old" * 100_000, '{"etag": "\\"v0\\""}')
    site.url(serve.file(ranges=ranges))
    assert fetch(url).read_bytes() == serve.data


def test_a_part_of_another_place_than_asked_for_is_not_taken(site, serve):
    url = site.url(serve.file())
    put_part(url, serve.data[:1000], '{"etag": "\\"v1\\""}')
    size = len(serve.data)
    wrong = serve.answer(206, serve.data[999 : size - 1], ETag='"v1"', Content_Range=f"bytes 999-{size - 2}/{size}")
    right = serve.file()
    site.routes["/models/ffhq.pkl"] = lambda handler: (right if len(site.requests) > 1 else wrong)(handler)
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges == ["bytes=1000-", None]


def test_a_whole_part_is_not_fetched_again(site, serve):
    url = site.url(serve.file())
    put_part(url, serve.data, '{"etag": "\\"v1\\""}')
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges == [f"bytes={len(serve.data)}-"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(site, serve):
    url = site.url(serve.file())
    put_part(url, serve.data + b"more", '{"etag": "\\"v1\\""}')
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges == [f"bytes={len(serve.data) + 4}-", None]


@pytest.mark.parametrize("notes", ["", "[]", "{", '{"etag": null}', '{"etag": "\\"v1\\""}'])
def test_whatever_is_noted_beside_a_part_the_bytes_are_right(site, serve, notes):
    url = site.url(serve.file())
    put_part(url, serve.data[:5000], notes)
    assert fetch(url).read_bytes() == serve.data


def test_a_file_of_unknown_length_is_fetched_and_the_doubt_is_told(site, serve):
    said = []
    assert fetch(site.url(serve.file(length=False)), say=said.append).read_bytes() == serve.data
    assert "does not say how large the file is" in said[1]


def test_a_cut_in_chunked_coding_is_noticed(site, serve):
    def route(handler):
        handler.head(200, {"Transfer-Encoding": "chunked", "ETag": '"v1"'})
        handler.wfile.write(b"%x\r\n%b\r\n" % (1000, serve.data[:1000]) + (b"" if len(site.requests) < 2 else b"0\r\n\r\n"))
        handler.close_connection = True

    assert fetch(site.url(route)).read_bytes() == serve.data[:1000]
    assert len(site.requests) == 2


def test_a_cut_that_the_library_does_not_notice_is_noticed(site, serve, monkeypatch):
    chunks, cuts = transfer._chunks, [3, None]
    monkeypatch.setattr(transfer, "_chunks", lambda *given: itertools.islice(chunks(*given), cuts.pop(0)))
    assert fetch(site.url(serve.file())).read_bytes() == serve.data
    assert site.ranges == [None, f"bytes={3 << 16}-"]


def test_a_packed_answer_is_unpacked_and_never_gone_on_with(site, serve):
    url = site.url(serve.file(gzip.compress(serve.data), cuts=[1_000_000, 1_000_000], Content_Encoding="gzip"))
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges == [None, None, None]


def test_an_empty_file_is_told(site, serve, folder):
    assert "the file there is empty. Check the address, or " + BY_HAND in failure(site.url(serve.answer(200)))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "the server answered 404 Not Found. Check the address, or " + BY_HAND),
        (410, "410 Gone. Check the address"),
        (401, "401 Unauthorized. It asks for a login: " + BY_HAND),
        (403, "403 Forbidden. It does not give the file to everyone: " + BY_HAND),
        (304, "304 Not Modified. Check the address"),
        (204, "204 No Content. Check the address"),
    ],
)
def test_a_refusal_is_told_at_once(site, serve, folder, status, words):
    url = site.url(serve.answer(status))
    message = failure(url)
    assert message.startswith(url)
    assert words in message
    assert len(site.requests) == 1
    assert left(folder) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(site, serve, status):
    trouble, right = serve.answer(status), serve.file()
    url = site.url(lambda handler: (right if len(site.requests) > 2 else trouble)(handler))
    assert fetch(url).read_bytes() == serve.data
    site.requests.clear()
    url = site.url(trouble, "/other.pkl")
    assert f"the server answered {status}" in failure(url)
    assert len(site.requests) == 4


def test_a_server_may_ask_to_wait_up_to_a_minute(site, serve, monkeypatch):
    waited = []
    monkeypatch.setattr(cache, "time", SimpleNamespace(sleep=waited.append))
    routes = [serve.answer(503, Retry_After=text) for text in ("7", "100000", "Fri, 31 Dec 1999 23:59:59 GMT")] + [serve.file()]
    url = site.url(lambda handler: routes[len(site.requests) - 1](handler))
    fetch(url)
    assert waited == [7, 60, 0]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "text/html; charset=utf-8"),
        (
            b"<!doctype html><form>This file is too large to scan for viruses. Download anyway?</form>",
            "application/octet-stream",
        ),
        (b"\xef\xbb\xbf \n<html>sign in</html>", "application/octet-stream"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "binary/octet-stream"),
        (b'{"error": "login required"}', "application/json"),
        (b"Please confirm", "text/html"),
    ],
)
def test_a_page_is_not_taken_for_a_file(site, serve, folder, body, kind):
    message = failure(site.url(serve.answer(200, body, Content_Type=kind)))
    assert "the server answered with a page (" in message
    assert "Give the address of the file itself, or " + BY_HAND in message
    assert left(folder) == []


def test_a_file_that_is_called_a_page_by_mistake_is_taken(site, serve):
    data = b"PK\x03\x04\0\0" + serve.data
    assert fetch(site.url(serve.file(data, Content_Type="text/html"))).read_bytes() == data


def test_a_git_lfs_pointer_is_not_taken_for_the_file(site, serve):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 381624121\n"
    message = failure(site.url(serve.answer(200, pointer, Content_Type="text/plain")))
    assert "is a Git LFS pointer, not the file. Take the address of its download button" in message


@pytest.mark.parametrize("target", ["/b/file.pkl", "../b/file.pkl", "{address}/b/file.pkl", "//127.0.0.1:{port}/b/file.pkl"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_keep_the_first_name(site, serve, status, target):
    url = site.url(serve.answer(status, Location=target.format(address=site.address, port=site.port)), "/a/first.pkl")
    site.url(serve.file(cuts=[1_000_000]), "/b/file.pkl")
    path = fetch(url)
    assert path.read_bytes() == serve.data
    assert path.name.startswith("first-")
    assert [request for request, _ in site.requests] == ["/a/first.pkl", "/b/file.pkl"] * 2


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/models/ffhq.pkl", "one address leads to the next without end"),
        ("file:///etc/passwd", "only http and https addresses are downloaded"),
        ("https://[::1", "leads to an address that cannot be read. Check it, or"),
        ("ftp://x.org/a.pkl", "only http and https addresses are downloaded"),
    ],
)
def test_redirects_to_nowhere_are_told(site, serve, target, words):
    with pytest.raises(UserError, match=words):
        fetch(site.url(serve.answer(302, Location=target)))
    assert len(site.requests) <= 11


def test_the_body_of_a_redirect_is_not_read(site, serve):
    sent = []

    def endless(handler):
        handler.head(302, {"Location": "/b.pkl", "Content-Length": str(1 << 40)})
        handler.close_connection = True
        while len(sent) < 1000:
            handler.wfile.write(serve.data)
            sent.append(len(serve.data))

    site.url(serve.file(), "/b.pkl")
    assert fetch(site.url(endless)).read_bytes() == serve.data
    assert sum(sent) < 100_000_000  # what fits into the buffers of a connection


def test_a_login_in_the_address_is_used_for_its_server_only_and_told_nowhere(site, serve, folder):
    def private(handler):
        authorised = handler.headers.get("Authorization") == "Basic dXNlcjpzZWNyZXQ="
        serve.answer(302 if authorised else 401, Location=f"http://localhost:{site.port}/b.pkl")(handler)

    site.url(private, "/a.pkl")
    site.url(serve.file(), "/b.pkl")
    said = []
    path = fetch(f"http://user:secret@127.0.0.1:{site.port}/a.pkl?token=secret", say=said.append)
    assert path.read_bytes() == serve.data
    assert [headers.get("Authorization") for _, headers in site.requests] == ["Basic dXNlcjpzZWNyZXQ=", None]
    assert b"secret" not in b"".join(other.read_bytes() for other in folder.iterdir() if other != path)
    assert "secret" not in " ".join(said)
    site.routes.clear()
    assert "secret" not in failure(f"http://user:secret@127.0.0.1:{site.port}/c.pkl?token=secret")


def test_a_name_from_the_server_decides_nothing(site, serve, tmp_path):
    disposition = 'attachment; filename="../../../evil.pkl"'
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    path = fetch(site.url(serve.file(Content_Disposition=disposition)))
    assert path.parent == tmp_path / "cache" / "models"
    made = {other.parent for other in tmp_path.rglob("*") if other.is_file()} - {other.parent for other in before}
    assert made == {path.parent}


def test_an_unknown_host_is_told(monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = failure("https://no-such-host.example/a.pkl?token=secret")
    assert "this host name is not known here. Check the address and the network and run again, or" in message
    assert "secret" not in message


def test_a_closed_port_is_told_at_once(site, serve, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert "the connection failed (Connection refused). Check the address" in failure(f"http://127.0.0.1:{port}/a.pkl")


def test_a_server_that_falls_silent_is_told(site, serve, monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(transfer, "TIMEOUT", (1, 0.2))

    def mute(handler):
        done.wait(5)
        handler.close_connection = True

    def stuck(handler):
        handler.head(200, {"Content-Length": "1000000", "ETag": '"v1"'})
        handler.wfile.write(serve.data[: 1 << 17])
        handler.wfile.flush()
        mute(handler)

    try:
        assert "no answer for too long. Check the address" in failure(site.url(mute, "/mute.pkl"))
        assert len(site.requests) == 1
        message = failure(site.url(stuck, "/stuck.pkl"))
        assert "no answer for too long." in message
        assert "131 kB have arrived and are kept" in message
    finally:
        done.set()


def test_an_answer_that_is_no_http_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        message = failure(f"http://127.0.0.1:{server.getsockname()[1]}/a.pkl")
        thread.join()
    assert "the connection broke. Check the address" in message


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost that nobody has signed, and its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    paths = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", paths[0], "-out", paths[1], "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "both.pem").write_bytes(paths[0].read_bytes() + paths[1].read_bytes())
    return tmp_path / "both.pem"


def encrypted(certificate):
    """What makes a server speak https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def wrap(server):
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda request, client: None

    return wrap


def test_a_certificate_that_nobody_signed_is_told_and_not_asked_twice(serve, certificate):
    with serve.serving(encrypted(certificate)) as site:
        site.url(serve.file(), "/a.pkl")
        message = failure(f"https://localhost:{site.port}/a.pkl")
    assert "the server's certificate is not accepted (" in message
    assert "Check the date and the proxy of this machine, or " + BY_HAND in message
    assert site.requests == []


def test_a_server_without_encryption_behind_https_is_told(site, serve):
    site.url(serve.file(), "/a.pkl")
    assert "no encrypted connection (" in failure(f"https://127.0.0.1:{site.port}/a.pkl")


def test_a_redirect_from_https_to_http_is_refused(site, serve, certificate, monkeypatch, folder):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    plain = site.url(serve.file(), "/plain.pkl")
    with serve.serving(encrypted(certificate)) as secure:
        secure.url(serve.file(), "/a.pkl")
        assert fetch(f"https://localhost:{secure.port}/a.pkl").read_bytes() == serve.data
        secure.url(serve.answer(302, Location=plain), "/b.pkl")
        message = failure(f"https://localhost:{secure.port}/b.pkl")
    assert "leads to an address without encryption, which is not followed. To trust it, download it" in message
    assert site.requests == []


def test_too_little_room_is_told_before_anything_is_written(site, serve, monkeypatch, folder):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1_000_000))
    message = failure(site.url(serve.file()))
    assert "The download needs 3 MB, and 1 MB are free in" in message
    assert "Free some space, or name another folder: SGTOOL_CACHE=/path" in message
    assert left(folder) == []


def test_a_disk_that_is_full_in_the_middle_keeps_what_has_arrived(site, serve, folder):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    url = site.url(serve.file())
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        message = failure(url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{folder} cannot be written ({os.strerror(errno.EFBIG)}). What has arrived is kept: free some space" in message
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges[1] == "bytes=1000000-"


def test_a_cache_that_cannot_be_made_is_told_before_the_server_is_asked(site, serve, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "file"))
    message = failure(site.url(serve.file()))
    assert f"The cache folder {tmp_path / 'file' / 'models'} cannot be written (" in message
    assert message.endswith("name another folder: SGTOOL_CACHE=/path")
    assert site.requests == []


def test_the_bar_shows_rate_and_time_left_on_a_terminal_only(site, serve, monkeypatch, capsys):
    fetch(site.url(serve.file(), "/a.pkl"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fetch(site.url(serve.file(), "/b.pkl"), progress=False)
    assert capsys.readouterr().err == ""
    fetch(site.url(serve.file(), "/c.pkl"))
    shown = capsys.readouterr().err
    assert "3.00M/3.00M" in shown
    assert "B/s]" in shown


def test_nothing_of_a_download_is_left_but_the_file_and_its_record(site, serve, folder):
    path = fetch(site.url(serve.file(cuts=[100_000])))
    assert left(folder) == [path.name, f"{path.name}.json"]
    assert path.read_bytes() == serve.data
