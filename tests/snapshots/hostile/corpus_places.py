"""Paths that are no ordinary file."""

import os
import socket
import sys

import models
from corpus import add


def link(folder, target):
    path = folder / "model.pkl"
    path.symlink_to(target)
    return path


def pipe(folder):
    """A named pipe, which nobody writes to: opening it waits for ever."""
    path = folder / "model.pkl"
    os.mkfifo(path)
    return path


def listening(folder):
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def a_folder(folder):
    path = folder / "model.pkl"
    path.mkdir()
    return path


def circle(folder):
    path = folder / "model.pkl"
    path.symlink_to(path)
    return path


def sparse(folder):
    """A file of a terabyte of zeros that takes no space."""
    path = folder / "model.pkl"
    with open(path, "wb") as file:
        file.write(b"\x80\x04]")
        file.truncate(10**12)
    return path


def nowhere(folder):
    return folder / "not-there.pkl"


def inside_a_file(folder):
    (folder / "model.pkl").write_bytes(models.nvidia())
    return folder / "model.pkl" / "inner.pkl"


def a_long_name(folder):
    return folder / ("a" * 300 + ".pkl")


def a_zero(folder):
    return f"{folder}/model\0.pkl"


add("a folder", a_folder)
add("a file that is not there", nowhere, "not-there.pkl")
add("a file in a file", inside_a_file)
add("a name of 300 letters", a_long_name)
add("a path with a zero in it", a_zero)
if sys.platform != "win32":
    add("a link to an endless device", lambda folder: link(folder, "/dev/zero"))
    add("a link to nowhere", lambda folder: link(folder, "nowhere"))
    add("a link to itself", circle)
    add("a link to a folder", lambda folder: link(folder, "/"))
    add("an endless device", lambda folder: "/dev/zero")
    add("a device of random numbers", lambda folder: "/dev/urandom")
    add("a device of nothing", lambda folder: "/dev/null")
    add("a named pipe", pipe)
    add("a link to a named pipe", lambda folder: link(folder, pipe_at(folder)))
    add("a socket", listening)
    add("a terabyte of zeros", sparse)


def pipe_at(folder):
    path = folder / "pipe"
    os.mkfifo(path)
    return path
