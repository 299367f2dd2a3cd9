"""What is gathered of a set of pictures, from the parts that come in their order."""

import tempfile

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.metrics import MeanAndCovariance

IN_MEMORY = 1 << 30  # bytes of pictures; more of them lie in a temporary file
AT_ONCE = 4096  # rows that are added to a mean and covariance


class Statistics:
    """Mean and covariance of features. Rows are added in parts of a fixed size, so that the result depends on their order alone.

    Args:
        count: rows that will come.
        device: where they are added up; MPS has no float64, so there it is the CPU.
    """

    def __init__(self, count, device="cpu"):
        device = torch.device(device)
        self.sums, self.device = MeanAndCovariance(), "cpu" if device.type == "mps" else device
        self.waiting, self.number = [], 0

    def add(self, features, detector):
        self.waiting.append(features)
        self.number += len(features)
        if self.number >= AT_ONCE:
            rows = np.concatenate(self.waiting)
            whole = len(rows) - len(rows) % AT_ONCE
            for first in range(0, whole, AT_ONCE):
                self._add(rows[first : first + AT_ONCE])
            self.waiting, self.number = [rows[whole:].copy()], len(rows) - whole

    def _add(self, rows):
        self.sums.add(torch.from_numpy(np.ascontiguousarray(rows)).to(self.device))

    def result(self):
        if self.number:
            self._add(np.concatenate(self.waiting))
            self.waiting, self.number = [], 0
        return self.sums.result()


class Rows:
    """Features, `[count, D]` float32."""

    def __init__(self, count, device="cpu"):
        self.count, self.rows, self.filled = count, None, 0

    def add(self, features, detector):
        if self.rows is None:
            self.rows = np.empty([self.count, features.shape[1]], np.float32)
        self.rows[self.filled : self.filled + len(features)] = features
        self.filled += len(features)

    def result(self):
        return self.rows[: self.filled]


class Probabilities(Rows):
    """Probabilities of classes, `[count, D]` float32."""

    def add(self, features, detector):
        super().add(detector.probabilities(torch.from_numpy(features)).cpu().numpy(), detector)


class Pictures:
    """The pictures themselves, `[count, C, H, W]` uint8: in memory, or if they are many in a file that goes with the process."""

    def __init__(self, count, device="cpu"):
        self.count, self.array, self.file, self.filled, self.shape = count, None, None, 0, None

    def add(self, pictures, detector):
        if self.shape is None:
            self.shape = (self.count, *pictures.shape[1:])
            if self.count * pictures[0].nbytes <= IN_MEMORY:
                self.array = np.empty(self.shape, np.uint8)
            else:
                self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when all is in it
        if self.array is not None:
            self.array[self.filled : self.filled + len(pictures)] = pictures
        else:
            self._write(np.ascontiguousarray(pictures))
        self.filled += len(pictures)

    def _write(self, pictures):
        try:
            self.file.write(pictures)
        except OSError as error:
            raise _no_room(error) from error

    def result(self):
        if self.array is not None:
            return self.array[: self.filled]
        try:
            with self.file:
                self.file.flush()
                return np.memmap(self.file, np.uint8, "r", shape=(self.filled, *self.shape[1:]))  # which keeps the file
        except OSError as error:
            raise _no_room(error) from error


def _no_room(error):
    return UserError(
        f"{tempfile.gettempdir()}: the pictures cannot be kept there while they are measured ({error.strerror}). "
        "Free some space, set TMPDIR to another folder, or ask for fewer, like swd2k."
    )


COLLECTORS = {"statistics": Statistics, "rows": Rows, "probabilities": Probabilities, "pictures": Pictures}
