"""The cache: one download among processes and through kills, and no file that is not what it was."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from sgtool.download import cached_path, fetch, is_offline
from sgtool.errors import UserError

SHA256 = "3f4c3ed8aa0a8ce7e6c6a0f1a6a2a0a4c9e5a2fb6a0a5e6d5c4b3a2918273645"

# A process of its own that downloads; its lines are what the download says.
DOWNLOAD = """
import signal, sys
from sgtool.download import fetch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
print(fetch(sys.argv[1], progress=False, say=lambda text: print(text, flush=True)), flush=True)
"""


def downloading(url):
    """Start a process that downloads."""
    return subprocess.Popen([sys.executable, "-c", DOWNLOAD, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_downloaded_once_and_recorded(site, serve, folder):
    url, said = site.url(serve.file(modified="Sat, 03 Oct 2020 10:00:00 GMT")), []
    path = fetch(url, say=said.append)
    assert path == cached_path(url)
    assert path.parent == folder
    assert path.read_bytes() == serve.data
    record = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.pop("date"))
    assert record == {
        "url": url,
        "sha256": digest(serve.data),
        "size": len(serve.data),
        "etag": '"v1"',
        "last_modified": "Sat, 03 Oct 2020 10:00:00 GMT",
    }
    assert said == [f"Downloading {url} into {folder}"]
    site.routes.clear()
    assert fetch(url, say=said.append) == path
    assert (len(site.requests), len(said)) == (1, 1)


def test_a_label_says_what_is_downloaded(site, serve, folder):
    said = []
    fetch(site.url(serve.file()), label="ffhq (faces)", say=said.append)
    assert said == [f"Downloading ffhq (faces) into {folder}"]


@pytest.mark.parametrize("change", [b"", b"other", None])
def test_a_file_that_changed_in_the_cache_is_told_and_left_alone(site, serve, change):
    url = site.url(serve.file())
    path = fetch(url)
    path.write_bytes(serve.data[:-1] + b"?" if change is None else change)
    changed = path.read_bytes()
    with pytest.raises(UserError) as caught:
        fetch(url)
    assert f"{path} is not what it should be: its SHA-256 is {digest(changed)}, not {digest(serve.data)}." in caught.value.message
    assert "Delete it to download it again, or, if you trust it, copy it elsewhere and give the copy." in caught.value.message
    assert path.read_bytes() == changed
    path.unlink()
    assert fetch(url).read_bytes() == serve.data


@pytest.mark.parametrize("record", [None, "", "{}", "[]", '{"sha256": null}', '{"sha256": "abc"}'])
def test_a_file_that_cannot_be_checked_is_told(site, serve, record):
    url = site.url(serve.file())
    path = fetch(url)
    beside = path.with_name(f"{path.name}.json")
    beside.unlink()
    if record is not None:
        beside.write_text(record)
    with pytest.raises(UserError, match=f"cannot be checked: its record {path.name}.json is missing or damaged. Delete the file"):
        fetch(url)
    assert fetch(url, sha256=digest(serve.data)) == path
    assert len(site.requests) == 1


def test_a_known_sha256_is_checked_at_the_download_and_after(site, serve, folder):
    url = site.url(serve.file())
    with pytest.raises(UserError) as caught:
        fetch(url, sha256=SHA256)
    assert f"{url} is not the known file: its SHA-256 is {digest(serve.data)}, not {SHA256}" in caught.value.message
    assert "it is not kept" in caught.value.message
    assert [path for path in folder.iterdir() if not path.name.endswith(".lock")] == []
    assert fetch(url, sha256=digest(serve.data)).read_bytes() == serve.data
    with pytest.raises(UserError, match="is not what it should be"):
        fetch(url, sha256=SHA256)


def test_offline_only_the_cache_is_used(site, serve, folder, monkeypatch):
    url = site.url(serve.file())
    for asked, set_to in ((True, "0"), (False, "1"), (True, "yes")):
        monkeypatch.setenv("SGTOOL_OFFLINE", set_to)
        with pytest.raises(UserError) as caught:
            fetch(url, offline=asked, label="ffhq (faces)")
        assert caught.value.message == (
            f"ffhq (faces) is not in the cache ({folder}), and nothing is downloaded offline. "
            f"Run once without --offline and SGTOOL_OFFLINE, or download {url} elsewhere and give the file."
        )
    assert site.requests == []
    assert not folder.exists()
    monkeypatch.setenv("SGTOOL_OFFLINE", "0")
    path = fetch(url)
    assert fetch(url, offline=True) == path
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="is not what it should be"):
        fetch(url, offline=True)


@pytest.mark.parametrize(
    ("value", "offline"), [("", False), ("0", False), ("false", False), ("No", False), ("1", True), ("true", True), ("on", True)]
)
def test_the_environment_may_forbid_downloads(monkeypatch, value, offline):
    monkeypatch.setenv("SGTOOL_OFFLINE", value)
    assert is_offline() is offline
    assert is_offline(True) is True


def part_size(url):
    part = cached_path(url).with_name(f"{cached_path(url).name}.part")
    return part.stat().st_size if part.exists() else 0


def wait_for_part(url, size):
    """Wait until so many bytes have arrived."""
    until = time.monotonic() + 60
    while part_size(url) < size:
        assert time.monotonic() < until, f"{part_size(url)} bytes have arrived, not {size}"
        time.sleep(0.01)


@pytest.fixture
def go_on():
    """What a server that holds back waits for; set at the end, so that no thread waits for ever."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_download_that_is_stopped_goes_on_where_it_was(site, serve, go_on, number):
    url = site.url(serve.file(hold=(5 << 16, go_on)))
    with downloading(url) as process:
        wait_for_part(url, 5 << 16)
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not cached_path(url).exists()
    if number == signal.SIGINT:
        assert "Stopped. What has arrived is kept: run again to go on from there." in said
        assert "KeyboardInterrupt" in errors
    assert fetch(url).read_bytes() == serve.data
    assert site.ranges == [None, f"bytes={5 << 16}-"]


def test_processes_that_want_the_same_file_share_one_download(site, serve, go_on):
    url = site.url(serve.file(hold=(100_000, go_on)))
    processes = [downloading(url) for _ in range(3)]
    said = sorted(process.stdout.readline().split()[0] for process in processes)
    assert said == ["Another", "Another", "Downloading"]
    go_on.set()
    ends = [process.communicate(timeout=60) for process in processes]
    assert [(process.returncode, *end) for process, end in zip(processes, ends, strict=True)] == [
        (0, f"{cached_path(url)}\n", "")
    ] * 3
    assert cached_path(url).read_bytes() == serve.data
    assert len(site.requests) == 1


def test_a_process_that_dies_lets_the_next_one_in(site, serve, go_on):
    url = site.url(serve.file(hold=(2 << 16, go_on)))
    with downloading(url) as first:
        wait_for_part(url, 2 << 16)
        with downloading(url) as second:
            assert "Another process is downloading" in second.stdout.readline()
            first.kill()
            said, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert cached_path(url).read_bytes() == serve.data
    assert site.ranges == [None, f"bytes={2 << 16}-"]


def test_a_file_system_without_locks_is_told(site, serve, folder, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"Nothing can be locked in .* \(No locks available\). Name a folder on a local disk"):
        fetch(site.url(serve.file()))


def test_a_file_that_cannot_be_read_is_told(site, serve):
    url = site.url(serve.file())
    path = fetch(url)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot be read .*Delete it to download it again"):
        fetch(url)
