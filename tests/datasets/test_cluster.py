"""A real scheduler and two worker processes on this machine."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.cluster import Cluster, look
from sgtool.datasets.jobs import VERSIONS
from sgtool.datasets.prepare import prepare
from sgtool.datasets.shards import Resumable
from sgtool.datasets.workplace import work_folder
from sgtool.errors import UserError

pytest.importorskip("distributed", reason="dask is not installed: the extra [cluster]")


def start(*arguments):
    """Start a dask process, in another folder and without any terminal."""
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Dask:
    """A scheduler and its workers, each a process of its own without a nanny, so that a worker that is killed stays dead."""

    def __init__(self, folder, workers):
        self.folder, self.workers = folder, []
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self._wait(port)
        for _ in range(workers):
            self.add_worker()

    def _wait(self, port):
        """Wait until the scheduler answers."""
        deadline = time.monotonic() + 60
        while self.scheduler.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.close()
        pytest.fail("the scheduler does not start")

    def add_worker(self):
        where = ["--no-dashboard", "--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder)]
        self.workers.append(start("dask_worker", self.address, *where))

    def close(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait(30)


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    dask = Dask(tmp_path_factory.mktemp("dask"), 2)
    yield dask
    dask.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(60):
        Image.fromarray(np.random.RandomState(i).randint(0, 256, [12, 12, 3], np.uint8)).save(tmp_path / "in" / f"{i:02d}.png")
    (tmp_path / "in" / "31.png").write_bytes(b"no picture")
    return tmp_path / "in"


def test_a_cluster_writes_the_same_bytes_as_one_process(dask, folder, tmp_path, monkeypatch):
    prepare(folder, tmp_path / "local.zip", resolution=(8, 8), workers=1)
    prepare(folder, tmp_path / "cluster.zip", resolution=(8, 8), cluster=dask.address)
    assert (tmp_path / "cluster.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["cluster.zip", "in", "local.zip"]
    monkeypatch.chdir(tmp_path)  # relative paths mean the same to workers, who are elsewhere
    prepare("in", "relative", resolution=(8, 8), cluster=dask.address)
    assert len(list((tmp_path / "relative").rglob("*.png"))) == 59


def test_a_worker_that_is_killed_in_the_middle_is_made_up_for(folder, tmp_path):
    dask = Dask(tmp_path / "dask", 2)
    try:
        killer = threading.Thread(target=kill_one, args=(dask, work_folder(tmp_path / "cluster.zip")))
        killer.start()
        prepare("demo:digits", tmp_path / "cluster.zip", resolution=(128, 128), cluster=dask.address)
        killer.join()
        assert dask.workers[0].wait(30) == -signal.SIGKILL
    finally:
        dask.close()
    prepare("demo:digits", tmp_path / "local.zip", resolution=(128, 128), workers=1)
    assert (tmp_path / "cluster.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()


def kill_one(dask, work):
    deadline = time.monotonic() + 60
    while len(list(work.glob("*.index"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    dask.workers[0].kill()


def test_a_scheduler_that_goes_is_a_sentence_and_what_is_done_is_kept(tmp_path):
    dask = Dask(tmp_path / "dask", 1)
    work = work_folder(tmp_path / "d.zip")

    def kill():
        while not list(work.glob("*.index")):
            time.sleep(0.01)
        dask.scheduler.kill()

    try:
        threading.Thread(target=kill).start()
        with pytest.raises(Resumable, match="the scheduler was lost.*run the same command again"):
            prepare("demo:digits", tmp_path / "d.zip", resolution=(128, 128), cluster=dask.address)
    finally:
        dask.close()
    said = []
    prepare("demo:digits", tmp_path / "d.zip", resolution=(128, 128), workers=1, say=said.append)
    assert any("Going on with what an earlier run has done" in line for line in said)


@pytest.mark.parametrize("address", ["nonsense", "http://x:1", "tcp://"])
def test_what_is_no_address_is_refused(address, tmp_path):
    with pytest.raises(UserError, match=r"is not the address of a scheduler. Write it like tcp://host:8786"):
        Cluster(address, None, tmp_path)


def test_no_scheduler_and_no_workers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sgtool.datasets.cluster.CONNECT_SECONDS", 2)
    with pytest.raises(UserError, match="no scheduler answers there. Start one with: dask scheduler"):
        prepare("demo:digits", tmp_path / "d.zip", cluster=f"tcp://127.0.0.1:{free_port()}")
    dask = Dask(tmp_path / "dask", 0)
    try:
        with pytest.raises(UserError, match="the scheduler has no workers. Start some: dask worker tcp://127.0.0.1"):
            prepare("demo:digits", tmp_path / "d.zip", cluster=dask.address)
    finally:
        dask.close()
    assert not (tmp_path / "d.zip").exists()


def test_a_worker_tells_what_is_wrong_with_it(tmp_path):
    (tmp_path / "cluster.token").write_text("abc")
    assert look(VERSIONS, None, str(tmp_path), "abc") is None
    assert "it cannot see" in look(VERSIONS, str(tmp_path / "photos"), str(tmp_path), "abc").replace("does not", "cannot")
    for folder, token in ((tmp_path / "elsewhere", "abc"), (tmp_path, "another")):
        assert "Choose a DEST that all workers see" in look(VERSIONS, None, str(folder), token)
    assert "A worker has Pillow" in look({**VERSIONS, "Pillow": "1.0"}, None, str(tmp_path), "abc")
