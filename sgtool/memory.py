"""How the C library hands memory back to the system."""

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # parameters of glibc's mallopt


def keep_freed_memory():
    """Tell glibc to keep freed blocks for the next request instead of returning them to the system at once.

    Each training step, and each batch of pictures, asks for the same large blocks again; fetched from the system, each of their
    pages is zeroed at the first touch: 40,000 page faults a training step at 32x32 with batch 32, a tenth of the time. Does
    nothing where glibc is not used.

    Returns:
        Whether the C library took the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = ((MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, (1 << 31) - 1), (TOP_PAD, 64 << 20))
    taken = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(taken)
