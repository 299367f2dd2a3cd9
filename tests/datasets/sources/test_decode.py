import io
import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from source_makers import encoded, picture

from sgtool.datasets.sources import FilePicture, examine, full_size_of, load, notes_of
from sgtool.datasets.transforms import Skip


def written(path, data):
    path.write_bytes(data)
    return FilePicture(str(path))


# -- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_known_from_the_header(tmp_path, orientation):
    upright = picture(1, width=16, height=8) // 64 * 64
    # The stored pixels of each orientation, from the EXIF standard: where row 0 and column 0 of the scene lie.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("png", "tiff", "webp"):
        options = {"lossless": True} if format == "webp" else {}
        data = encoded(np.ascontiguousarray(stored), format, exif=exif, **options)
        found = written(tmp_path / f"p{orientation}.{format}", data)
        np.testing.assert_array_equal(np.asarray(load(found)), upright)
        assert examine(found) == ((16, 8), "RGB")
        assert full_size_of(load(found)) == (16, 8)
        assert ("turned" in notes_of(load(found))) == (orientation > 1)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage that is no TIFF at all", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_pixels_beside_broken_exif_data_are_used(tmp_path, exif, format):
    options = {"lossless": True} if format == "WEBP" else {}
    found = written(tmp_path / "a.png", encoded(picture(0), format, exif=b"Exif\0\0" + exif, **options))
    image = load(found)
    assert notes_of(image) in ((), ("exif ignored",))
    assert examine(found)[0] == (6, 4)
    if format != "JPEG":
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture(0))


def test_broken_exif_data_are_noted(tmp_path):
    found = written(tmp_path / "a.png", encoded(picture(0), exif=b"Exif\0\0garbage that is no TIFF at all"))
    assert notes_of(load(found)) == ("exif ignored",)


# -- what cannot be read


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side):
    """A PNG of side x side whose rows are all zero: about 20 kB for 50,000."""
    packer = zlib.compressobj(9)
    rows = bytes(side // 8 + 1)
    data = b"".join(packer.compress(rows) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_with(kind, content):
    """A picture with one chunk more, behind its header."""
    data = encoded(picture(0))
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + chunk + data[33:]


UNPACKS_TO_8_MB = zlib.compress(bytes(8 << 20))
BROKEN = {
    "truncated": (encoded(picture(0, 64, 64))[:4000], "truncated"),
    "text": (b"this is no picture", "not a picture in a known format"),
    "empty": (b"", "empty, 0 bytes"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "PostScript, which is not read"),
    "truncated JPEG": (encoded(picture(0, 64, 64), "JPEG")[:1200], "truncated"),
    "bomb": (png_bomb(50_000), "more than 89478485 pixels"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", r"a drawing \(SVG\), which is not read"),
    "web page": (b"\n<!DOCTYPE HTML><title>404</title>", "a web page, no picture"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, which is not read; save it as JPEG"),
    "Photoshop": (b"8BPS\0\1" + bytes(100), "a Photoshop file, which is not read"),
    "a large profile": (png_with(b"iCCP", b"p\0\0" + UNPACKS_TO_8_MB), "a text or profile inside it is too large"),
    "a large text": (png_with(b"zTXt", b"t\0\0" + UNPACKS_TO_8_MB), "a text or profile inside it is too large"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_skipped_with_a_reason_that_is_always_the_same(tmp_path, kind):
    data, reason = BROKEN[kind]
    found = written(tmp_path / "broken.png", data)
    texts = set()
    for _ in range(2):
        with pytest.raises(Skip, match=reason) as caught:
            load(found)
        assert caught.value.unreadable
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_the_bomb_is_a_small_file():
    assert len(BROKEN["bomb"][0]) < 400_000


def test_a_picture_with_too_many_pixels_is_skipped(tmp_path, monkeypatch):
    found = written(tmp_path / "huge.png", encoded(picture(0, 40, 40)))
    for limit in (1000, 100):  # above the limit PIL warns, above twice the limit it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for read in (load, examine):
            with pytest.raises(Skip, match=f"more than {limit} pixels"):
                read(found)


def reason_of(read, found):
    """Why a picture is skipped; None if it is read."""
    try:
        read(found)
    except Skip as skip:
        return str(skip)
    return None


def test_every_cut_and_every_changed_byte_is_read_or_skipped(tmp_path):
    random = np.random.RandomState(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "AVIF", "JPEG2000", "PCX", "QOI"):
        options = {"exif": exif} if format in ("PNG", "JPEG", "TIFF", "WEBP") else {}
        whole = encoded(picture(0, 24, 16), format, **options)
        for trial in range(30):
            data = bytearray(whole[: random.randint(len(whole) + 1)] if trial % 2 else whole)
            for place in random.randint(0, max(len(data), 1), 3 if data else 0):
                data[place] = random.randint(256)
            found = written(tmp_path / "a.bin", bytes(data))
            reasons = [reason_of(read, found) for read in (load, examine)]
            assert "" not in reasons, format
            assert "0x" not in str(reasons), format


def test_a_picture_that_disappeared_is_skipped(tmp_path):
    found = written(tmp_path / "a.png", encoded(picture(0)))
    os.unlink(found.path)
    with pytest.raises(Skip, match="No such file"):
        load(found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_skipped_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    answers = []

    def read():
        try:
            load(FilePicture(str(tmp_path / "a.png")))
        except Skip as skip:
            answers.append(str(skip))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert answers == ["not a regular file"]


def test_a_picture_of_one_pixel_is_read_in_every_format(tmp_path):
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "AVIF", "ICO"):
        found = written(tmp_path / f"a.{format}", encoded(np.full([1, 1, 3], 90, np.uint8), format))
        assert load(found).size == (1, 1), format
        assert load(found, size_hint=(1, 1)).size == (1, 1), format


# -- depth and colour


def test_cmyk_jpegs_of_photoshop_have_the_right_colours(tmp_path):
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # full magenta and yellow: red
    buffer = io.BytesIO()
    ink.save(buffer, "JPEG", quality=100)
    data = buffer.getvalue()
    assert b"Adobe" in data[:200]  # the marker of the program that inverts such pictures
    red, green, blue = load(written(tmp_path / "a.jpg", data)).convert("RGB").getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 15


def test_sixteen_bits_a_channel_are_noted_where_pillow_reads_eight(tmp_path):
    values = np.arange(4 * 4 * 3, dtype=np.uint16).reshape(4, 12) * 1000
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    image = load(written(tmp_path / "deep.png", data))
    assert notes_of(image) == ("16 bit",)
    np.testing.assert_array_equal(np.asarray(image), (values >> 8).reshape(4, 4, 3))
    assert notes_of(load(written(tmp_path / "a.png", encoded(picture(0))))) == ()


def test_sixteen_bit_grey_keeps_its_values(tmp_path):
    values = (np.arange(16, dtype=np.uint16) * 4000).reshape(4, 4)
    for format in ("PNG", "TIFF"):
        image = load(written(tmp_path / "deep", encoded(values, format)))
        np.testing.assert_array_equal(np.asarray(image), values)


def test_nothing_of_a_files_texts_is_kept(tmp_path):
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("sgtool notes", "icc")
    found = written(tmp_path / "a.png", encoded(picture(0), pnginfo=info))
    assert notes_of(load(found)) == ()


needs_cms = pytest.mark.skipif(not features.check("littlecms2"), reason="this Pillow has no LittleCMS")


def wide_profile(gamma=563 / 256):
    """An ICC profile with the primaries and white of Adobe RGB (1998), adapted to D50 (its specification, 4.3.6)."""
    colorants = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]

    def fixed(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = [(b"desc", text), (b"wtpt", xyz((0.9642, 1.0, 0.8249)))]
    tags += [(name, xyz(values)) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    total = start + len(body)
    head = struct.pack(">I4sI4s4s4s", total, bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def adobe_to_srgb(pixels):
    """The definition: Adobe RGB (1998), linear light, XYZ of D65, linear sRGB (IEC 61966-2-1), its curve."""
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    linear = np.clip((pixels / 255) ** (563 / 256) @ to_xyz.T @ from_xyz.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@needs_cms
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_an_embedded_profile_is_converted_to_srgb_and_noted(tmp_path, format):
    colours = picture(3, 12, 12) // 2 + 64
    options = {"lossless": True} if format == "WEBP" else {}
    found = written(tmp_path / "a", encoded(colours, format, icc_profile=wide_profile(), **options))
    image = load(found)
    assert notes_of(image) == ("icc",)
    assert np.abs(np.asarray(image) - adobe_to_srgb(colours)).max() < 2
    assert np.abs(np.asarray(image).astype(int) - colours).max() > 10


@needs_cms
def test_a_profile_of_srgb_leaves_every_pixel_as_it_is(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = load(written(tmp_path / "a", encoded(picture(3, 12, 12), icc_profile=profile)))
    assert notes_of(image) == ()
    np.testing.assert_array_equal(np.asarray(image), picture(3, 12, 12))


@needs_cms
def test_transparency_stays_what_it_is_beside_a_profile(tmp_path):
    colours = picture(3, 12, 12, 4)
    image = load(written(tmp_path / "a", encoded(colours, icc_profile=wide_profile())))
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(image)[..., 3], colours[..., 3])
    assert notes_of(image) == ("icc",)


@needs_cms
def test_palettes_with_a_profile_are_converted(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.full([8, 8, 3], [200, 60, 60], np.uint8)).quantize(4).save(buffer, "PNG", icc_profile=wide_profile())
    image = load(written(tmp_path / "a", buffer.getvalue()))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image)[0, 0] - adobe_to_srgb(np.array([200, 60, 60]))).max() < 2


@needs_cms
@pytest.mark.parametrize("profile", [b"garbage", wide_profile()[:150], wide_profile()[:-40], b"\0" * 200])
def test_pixels_with_a_broken_profile_are_used_and_that_is_noted(tmp_path, profile):
    image = load(written(tmp_path / "a", encoded(picture(0), icc_profile=profile)))
    assert notes_of(image) == ("icc ignored",)
    np.testing.assert_array_equal(np.asarray(image), picture(0))


@needs_cms
def test_a_profile_of_another_kind_of_picture_is_ignored_and_that_is_noted(tmp_path):
    image = load(written(tmp_path / "a", encoded(picture(0)[:, :, 0], icc_profile=wide_profile())))
    assert notes_of(image) == ("icc ignored",)
    np.testing.assert_array_equal(np.asarray(image), picture(0)[:, :, 0])


def test_without_littlecms_pixels_are_used_and_that_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    image = load(written(tmp_path / "a", encoded(picture(0), icc_profile=wide_profile())))
    assert notes_of(image) == ("icc ignored",)


# -- decoding at reduced scale


def scene(width, height, seed=0):
    """A picture with detail at every scale, as photographs have it: noise with a spectrum that falls with frequency."""
    random = np.random.RandomState(seed)
    planes = np.zeros([3, height, width])
    for octave in range(8):
        small = random.uniform(-1, 1, [3, max(2, height >> octave), max(2, width >> octave)]).astype(np.float32)
        for plane, values in zip(planes, small, strict=True):
            plane += np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)) * 1.7**octave
    planes -= planes.min()
    return np.ascontiguousarray((planes / planes.max() * 255).astype(np.uint8).transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("size", "hint", "expected"),
    [
        ((800, 600), (100, 100), (400, 300)),
        ((800, 600), (100, 75), (200, 150)),
        ((1600, 1200), (50, 37), (200, 150)),
        ((1600, 1200), (80, 60), (400, 300)),
        ((800, 600), (201, 100), (800, 600)),
        ((800, 600), (400, 300), (800, 600)),
    ],
)
def test_a_jpeg_keeps_at_least_two_pixels_for_each_that_is_wanted(tmp_path, size, hint, expected):
    found = written(tmp_path / "a.jpg", encoded(np.zeros([size[1], size[0], 3], np.uint8), "JPEG"))
    image = load(found, size_hint=hint)
    assert image.size == expected
    assert image.width >= min(2 * hint[0], size[0])
    assert image.height >= min(2 * hint[1], size[1])
    assert full_size_of(image) == size


def test_the_hint_is_that_of_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    found = written(tmp_path / "a.jpg", encoded(np.zeros([1600, 400, 3], np.uint8), "JPEG", exif=exif))
    image = load(found, size_hint=(200, 50))  # upright it is 1600x400
    assert image.size == (400, 100)
    assert full_size_of(image) == (1600, 400)


def difference(reduced, full, size):
    """Mean absolute difference of two pictures at `size`, in levels. The last row or column of `reduced` may be a part of one."""
    scale = next(n for n in (1, 2, 4, 8) if -(-full.width // n) == reduced.width and -(-full.height // n) == reduced.height)
    box = (0, 0, full.width / scale, full.height / scale)
    a = np.asarray(reduced.convert("RGB").resize(size, Image.Resampling.LANCZOS, box)).astype(int)
    return np.abs(a - np.asarray(full.convert("RGB").resize(size, Image.Resampling.LANCZOS))).mean()


def test_a_turned_jpeg_is_reduced_only_where_nothing_is_left_over(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    for size, expected in (((804, 804), (201, 201)), ((802, 804), (401, 402)), ((801, 804), (801, 804))):
        found = written(tmp_path / "a.jpg", encoded(np.zeros([*size[::-1], 3], np.uint8), "JPEG", exif=exif))
        assert load(found, size_hint=(30, 30)).size == expected


@pytest.mark.parametrize("size", [(1600, 1200), (1601, 1203), (1024, 1536)])
@pytest.mark.parametrize("quality", [75, 95])
def test_reduced_decoding_changes_the_result_by_less_than_a_level(tmp_path, size, quality):
    found = written(tmp_path / "a.jpg", encoded(scene(*size), "JPEG", quality=quality))
    for side in (64, 128, 256):
        scale = side / min(size)
        hint = (round(size[0] * scale), round(size[1] * scale))
        reduced = load(found, size_hint=hint)
        if side < 256:
            assert reduced.width < size[0]
        assert difference(reduced, load(found), hint) < 1


def test_real_photographs_change_by_less_than_a_level_too(tmp_path, shared_data):
    for path in sorted((shared_data / "faces").glob("*.jpg")):
        image = Image.open(path)
        with image:
            size = image.size
        full = load(FilePicture(str(path)))
        for part in (4.01, 8.01, 17, 24.01, 33):
            hint = tuple(max(1, int(n / part)) for n in size)
            reduced = load(FilePicture(str(path)), size_hint=hint)
            assert reduced.width < size[0]
            assert difference(reduced, full, hint) < 1, (path.name, hint)


def test_other_formats_and_pictures_without_a_hint_are_decoded_whole(tmp_path):
    data = np.zeros([512, 512, 3], np.uint8)
    assert load(written(tmp_path / "a.png", encoded(data)), size_hint=(8, 8)).size == (512, 512)
    assert load(written(tmp_path / "a.jpg", encoded(data, "JPEG"))).size == (512, 512)
