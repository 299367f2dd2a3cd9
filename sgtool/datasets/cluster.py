"""Workers on many machines: dask.distributed behind the interface of `pool.Pool`.

The machines share the folders: each worker reads the source and writes its shards itself, and only short summaries travel.
"""

import concurrent.futures
import contextlib
import os
import re
import uuid
import warnings

from sgtool.datasets.jobs import VERSIONS, check_versions
from sgtool.datasets.pool import IN_FLIGHT, in_order
from sgtool.datasets.shards import Resumable
from sgtool.errors import UserError
from sgtool.files import write_text

CONNECT_SECONDS = 10
PATIENCE = 2  # seconds between two looks at the connection
TOKEN = "cluster.token"
START_WORKERS = 'Start some: dask worker {address} (in a Python with the same sgtool, installed as "sgtool[cluster]").'


class Cluster:
    """The workers of a dask scheduler.

    Args:
        address: `tcp://host:8786`, as the scheduler prints it.
        source: path of the pictures, absolute, or None if it is no path.
        folder: work folder, absolute.
    Raises:
        UserError: dask is not installed, no scheduler answers there, it has no workers, or a worker has another sgtool or
            sees other folders.
    """

    def __init__(self, address, source, folder):
        if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+|[\w.-]+:\d+", address):
            raise UserError(f"--cluster {address} is not the address of a scheduler. Write it like tcp://host:8786.")
        self.address, self._source, self._folder = address, source, str(folder)
        self._client = self._executor = None

    def __enter__(self):
        try:
            import distributed
        except ImportError as error:
            raise UserError(f'--cluster needs dask ({error}). Run: pip install "sgtool[cluster]"') from error
        self._lost = (distributed.KilledWorker, concurrent.futures.CancelledError, distributed.comm.CommClosedError)
        try:
            with _quiet():
                self._client = distributed.Client(self.address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"--cluster {self.address}: no scheduler answers there. Start one with: dask scheduler, and give its address."
            ) from error
        try:
            self._check()
        except BaseException:
            self._client.close()
            raise
        self._executor = self._client.get_executor(pure=False)
        return self

    def __exit__(self, kind, *error):
        if self._executor is not None:
            self._executor.shutdown(wait=kind is None)
        if self._client is not None:
            with _quiet():
                self._client.close()

    @property
    def workers(self):
        """Number of jobs that are worked on at once, now."""
        return max(1, sum(self._client.nthreads().values()))

    def _check(self):
        """Make sure, before the work, that there are workers and that every one of them can do it."""
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            start = START_WORKERS.format(address=self.address)
            raise UserError(f"--cluster {self.address}: the scheduler has no workers. {start}") from error
        token = uuid.uuid4().hex
        write_text(os.path.join(self._folder, TOKEN), token)
        try:
            answers = self._client.run(look, VERSIONS, self._source, self._folder, token, on_error="return")
        except OSError as error:
            raise UserError(f"--cluster {self.address}: the workers do not answer ({error}). Start them again.") from error
        for worker, answer in answers.items():
            if isinstance(answer, ImportError):
                raise UserError(f"The worker {worker} has no sgtool, or another version ({answer}). Install {_wanted()} there.")
            if isinstance(answer, Exception):
                raise UserError(f"The worker {worker} failed ({answer}). Start it again.") from answer
            if answer is not None:
                raise UserError(f"The worker {worker}: {answer}")

    def map(self, function, jobs):
        """Yield `function(job)` for each job, in order. A job whose worker dies is done again by another one.

        Raises:
            Resumable: several workers have died of the same job, or the scheduler is gone.
        """
        return in_order(
            lambda job: self._executor.submit(function, job),
            jobs,
            IN_FLIGHT * self.workers,
            lambda waiting: self._result(waiting),
        )

    def _result(self, waiting):
        job, future = waiting.popleft()
        try:
            while not concurrent.futures.wait([future], timeout=PATIENCE).done:
                if self._client.status != "running":  # such a future may wait for ever
                    raise concurrent.futures.CancelledError
            return future.result()
        except self._lost as error:
            what = "several workers ended" if type(error).__name__ == "KilledWorker" else "the scheduler was lost"
            raise Resumable(
                f"--cluster {self.address}: {what} during the work on {job}. "
                "Look after the cluster and run the same command again: it goes on from here."
            ) from error


def look(versions, source, folder, token):
    """Tell what is wrong with this worker; runs in each worker.

    Args:
        versions: those that are wanted, see `jobs.check_versions`.
        source, folder: see `Cluster`.
        token: text that the file `TOKEN` in the folder holds, if it is the right folder.
    Returns:
        a sentence, or None.
    """
    try:
        check_versions(versions)
    except UserError as error:
        return error.message
    if source is not None and not os.path.exists(source):
        return f"it does not see {source}. Put the pictures where all workers see them under the same path."
    try:
        with open(os.path.join(folder, TOKEN), encoding="utf-8") as file:
            same = file.read() == token
    except OSError:
        same = False
    if not same or not os.access(folder, os.W_OK):
        return f"it does not see {folder}, or cannot write there. Choose a DEST that all workers see under the same path."
    return None


def _wanted():
    return ", ".join(f"{name} {version}" for name, version in VERSIONS.items())


@contextlib.contextmanager
def _quiet():
    """dask warns of versions that differ; `check` says which ones matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
