"""Recipes are found in files of ours, and no other file, whatever it is, is taken for one, crashes or keeps the program."""

import struct
import time
import zlib

import pytest

from sgtool.errors import UserError
from sgtool.latents import encode_ffmpeg
from sgtool.latents.recipes import is_ours, recipe_of, refuse_strangers

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GIF = b"GIF89a\1\0\1\0\0\0\0"
COMMENT = b"\x21\xfe"
RIFF = b"RIFF\xff\xff\xff\xffWEBP"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text(data):
    return SIGNATURE + chunk(b"iTXt", data)


def exif(data):
    return RIFF + b"EXIF" + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    "content",
    [
        SIGNATURE + chunk(b"tEXt", b"Comment\0hello") + chunk(b"iTXt", b'sgtool\0\0\0\0\0{"seed": 3}'),
        GIF + b'\x21\xff\x03abc\0\x21\xfe\x0fsgtool {"seed":\x03 3}\0',
        GIF[:10] + b"\x81\0\0" + bytes(12) + b'\x21\xfe\x12sgtool {"seed": 3}\0',  # with colours of its own
        RIFF + b"VP8X\x03\0\0\0abc\0" + exif(b'MM\0*...sgtool 1.0\0sgtool {"seed": 3}\0...')[12:],
    ],
)
def test_the_recipe_is_found_behind_what_stands_before_it(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert recipe_of(tmp_path / "a") == {"seed": 3}


HOSTILE = {
    "empty": b"",
    "signature alone": SIGNATURE,
    "text without its end": text(b"sgtool"),
    "text that stops after its name": text(b"sgtool\0"),
    "text without a language": text(b"sgtool\0\0\0"),
    "text without words": text(b"sgtool\0\0\0\0"),
    "compressed": text(b"sgtool\0\1\0\0\0" + zlib.compress(b"{}")),
    "no JSON": text(b"sgtool\0\0\0\0\0hello"),
    "no dict": text(b"sgtool\0\0\0\0\0[1]"),
    "deep": text(b"sgtool\0\0\0\0\0" + b"[" * 100_000),
    "a number of many digits": text(b"sgtool\0\0\0\0\0" + b"9" * 10_000),
    "no UTF-8": text(b"sgtool\0\0\0\0\0\xff\xfe"),
    "4 GB that are not there": SIGNATURE + b"\xff\xff\xff\xffiTXtsgtool\0",
    "a recipe after the pixels": SIGNATURE + chunk(b"IDAT", b"") + chunk(b"iTXt", b"sgtool\0\0\0\0\0{}"),
    "a million comments": GIF + (COMMENT + b"\1a\0") * 1_000_000,
    "a comment without end": GIF + COMMENT + b"\1a" * 1_000_000,
    "cut GIF": GIF[:11],
    "cut comment": GIF + COMMENT + b"\xffsgtool {}",
    "description without end": exif(b'sgtool {"a": '),
    "description of nothing": exif(b""),
    "cut WebP": RIFF,
    "chunks of a stranger": RIFF + b"abcd\0\0\0\0" + exif(b"sgtool {}\0")[12:],
    "4 GB of EXIF": RIFF + b"EXIF\xff\xff\xff\xff",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_no_file_of_ours_and_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "a.png"
    path.write_bytes(HOSTILE[kind])
    start = time.process_time()
    assert not is_ours(path)
    assert time.process_time() - start < 1
    with pytest.raises(UserError, match="a.png is no picture made by sgtool"):
        refuse_strangers(tmp_path, ["a.png"])


@pytest.mark.parametrize("head", [SIGNATURE, GIF, RIFF])
def test_gigabytes_of_nothing_are_not_read(tmp_path, head):
    with open(tmp_path / "a", "wb") as file:
        file.write(head)
        file.truncate(1 << 31)  # takes no space
    start = time.process_time()
    assert not is_ours(tmp_path / "a")
    assert time.process_time() - start < 1


def test_a_video_that_keeps_ffmpeg_busy_is_not_ours(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"0")

    def run(command, timeout, **options):
        raise encode_ffmpeg.subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(encode_ffmpeg.subprocess, "run", run)
    assert not is_ours(tmp_path / "a.mp4")


def test_a_name_too_long_for_a_file_hides_nothing(tmp_path):
    refuse_strangers(tmp_path, ["x" * 300 + ".png"])  # it is told when it is written
    assert not is_ours(tmp_path / ("x" * 300 + ".png"))
