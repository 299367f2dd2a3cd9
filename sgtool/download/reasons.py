"""Why a download failed, in words."""

import socket
import ssl

import requests

from sgtool.errors import UserError


class Broken(Exception):  # noqa: N818 - not an error yet: it is tried again
    """A try that failed for now.

    Args:
        text: a whole sentence.
        answered: the server did answer.
        wait: seconds that it asks to wait.
    """

    def __init__(self, text, answered=True, wait=0):
        super().__init__(text)
        self.answered, self.wait = answered, wait


def not_writable(folder, error, remedy="Free some space, or name another folder: SGTOOL_CACHE=/path"):
    """Return the UserError for a cache folder that cannot be written."""
    return UserError(f"The cache folder {folder} cannot be written ({error.strerror or error}). {remedy}")


def reason_of(error):
    """Say why a connection failed. The address, which stands in the texts of the libraries, is left out."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "this host name is not known here"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is not accepted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"no encrypted connection ({cause.reason or 'TLS failed'})"
        if isinstance(cause, (TimeoutError, requests.exceptions.Timeout)):
            return "no answer for too long"
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return f"the connection failed ({cause.strerror})"
    return "the connection broke"


def _causes(error):
    """Yield an error and all that it was made from."""
    waiting, seen = [error], []
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and not any(cause is other for other in seen):
            seen.append(cause)
            yield cause
            waiting += [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]


def amount(size):
    """Write a number of bytes: "364 MB"."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
