import os
import pickle
import zipfile

import numpy as np
import pytest
from source_makers import assert_pixels, encoded, picture, pixels

from sgtool.datasets.sources import load, open_source, pictures
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path


def test_pictures_are_read_in_place_in_sorted_order(tmp_path):
    files = [(name, encoded(picture(i))) for i, name in enumerate(["b.png", "a\\z.PNG", "a/y.png"])]
    source = open_source(write_zip(tmp_path / "p.zip", [*files, ("notes.txt", "x"), (".h.png", b""), ("empty/", b"")]))
    assert source.names == ["a/y.png", "a/z.PNG", "b.png"]
    assert source.counts == {"not pictures": 2}
    assert_pixels(source, [picture(i) for i in (2, 1, 0)])
    assert len(pickle.dumps(source.picture(0))) < 300


def test_names_inside_a_zip_never_touch_the_disk(tmp_path):
    files = [(name, encoded(picture())) for name in ("../../escape.png", "/tmp/absolute/escape.png", "C:/escape.png", "fine.png")]
    source = open_source(write_zip(tmp_path / "evil.zip", files))
    assert source.names == ["fine.png"]
    assert source.counts == {"names that lead outside the archive": 3}
    np.testing.assert_array_equal(pixels(source)[0], picture())
    assert os.listdir(tmp_path) == ["evil.zip"]
    assert not os.path.exists("/tmp/absolute/escape.png")


def test_links_and_devices_are_counted_and_left_out(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    link.create_system = 3
    source = open_source(write_zip(tmp_path / "p.zip", [(link, "/etc/passwd"), ("a.png", encoded(picture()))]))
    assert source.names == ["a.png"]
    assert source.counts == {"links and devices": 1}


def test_zips_inside_a_zip_are_not_opened(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", [("a.png", encoded(picture()))]).read_bytes()
    source = open_source(write_zip(tmp_path / "p.zip", [("inner.zip", inner), ("a.png", encoded(picture(1)))]))
    assert source.names == ["a.png"]
    assert source.counts == {"not pictures": 1}


def test_a_damaged_member_is_skipped(tmp_path):
    path = write_zip(tmp_path / "p.zip", [("a.png", encoded(picture(0, 64, 64)))], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[3000] ^= 255
    path.write_bytes(data)
    with pytest.raises(Skip):
        load(open_source(path).picture(0))


def test_an_encrypted_member_is_skipped_with_that_reason(tmp_path):
    path = write_zip(tmp_path / "p.zip", [("a.png", encoded(picture()))], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(Skip, match="encrypted"):
        load(open_source(path).picture(0))


def test_a_member_that_unpacks_to_too_much_is_skipped(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "p.zip", [("a.png", encoded(picture()))])
    monkeypatch.setattr(pictures, "LARGEST_FILE", 10)
    with pytest.raises(Skip, match="unpacked"):
        load(open_source(path).picture(0))


def test_a_member_that_unpacks_to_more_than_it_says_is_skipped(tmp_path):
    path = write_zip(tmp_path / "p.zip", [("a.png", encoded(picture(0, 90, 90)))])
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 24 : entry + 28] = (500).to_bytes(4, "little")  # its size unpacked
    path.write_bytes(data)
    with pytest.raises(Skip):
        load(open_source(path).picture(0))


def test_a_zip_replaced_under_the_same_name_is_read_anew(tmp_path):
    path = tmp_path / "p.zip"
    for seed in (1, 2):
        write_zip(path, [("a.png", encoded(picture(seed))), ("pad.txt", "x" * seed)])
        np.testing.assert_array_equal(pixels(open_source(path))[0], picture(seed))


def test_a_zip_that_changes_meanwhile_is_a_skip(tmp_path):
    path = write_zip(tmp_path / "p.zip", [("a.png", encoded(picture()))])
    source = open_source(path)
    write_zip(path, [("a.png", encoded(picture(2))), ("b.txt", "more")])
    with pytest.raises(Skip, match="has changed meanwhile"):
        load(source.picture(0))


def test_a_zip_that_is_no_zip_is_an_error(tmp_path):
    (tmp_path / "p.zip").write_bytes(b"not a zip at all")
    with pytest.raises(UserError, match="p.zip cannot be read as a zip"):
        open_source(tmp_path / "p.zip")


def test_every_cut_and_changed_byte_of_a_zip_is_an_error_a_skip_or_read(tmp_path):
    whole = write_zip(tmp_path / "p.zip", [("a.png", encoded(picture())), ("dataset.json", "{}")]).read_bytes()
    path = tmp_path / "q.zip"
    random = np.random.RandomState(0)
    ends = set()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] = random.randint(256)
        for trial in (data, data[:place]):
            path.write_bytes(trial or b"x")
            try:
                source = open_source(path)
                source.text("dataset.json")
                load(source.picture(0))
                ends.add("read")
            except (UserError, Skip) as error:
                ends.add(type(error).__name__)
    assert ends == {"read", "UserError", "Skip"}
