import struct

import numpy as np
import pytest
from source_makers import assert_pixels, encoded, picture

from sgtool.datasets.sources import examine, load, open_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError

lmdb = pytest.importorskip("lmdb", reason="the files are written by the package lmdb")


def write_lmdb(folder, items):
    with lmdb.open(str(folder), map_size=1 << 26) as store, store.begin(write=True) as transaction:
        for key, value in items:
            transaction.put(key, value)
    (folder / "lock.mdb").unlink()
    return folder


@pytest.fixture
def folder(tmp_path):
    items = [(f"{9 - i:040x}".encode(), encoded(picture(i, 16, 12), "WEBP", lossless=True)) for i in range(6)]
    items += [(f"{20 + i:040x}".encode(), encoded(picture(10 + i, 300, 300))) for i in range(3)]  # more than a page
    return write_lmdb(tmp_path / "bedroom_val_lmdb", items)


def test_pictures_come_in_the_order_of_their_keys(folder):
    source = open_source(folder)
    assert source.names == [f"{n:040x}" for n in (4, 5, 6, 7, 8, 9, 20, 21, 22)]
    assert_pixels(source, [picture(i, 16, 12) for i in range(5, -1, -1)] + [picture(10 + i, 300, 300) for i in range(3)])
    assert examine(source.picture(0)) == ((16, 12), "RGB")


def test_trees_of_every_size_give_what_lmdb_itself_gives(tmp_path):
    random = np.random.RandomState(0)
    for number in (2, 30, 400, 6000):
        items = {random.bytes(random.randint(1, 60)).hex().encode(): random.bytes(random.randint(1, 5000)) for _ in range(number)}
        folder = write_lmdb(tmp_path / str(number), items.items())
        with lmdb.open(str(folder), map_size=1 << 26) as store, store.begin(write=True) as transaction:
            for key in list(items)[::3]:  # so that pages are freed and used again
                assert transaction.delete(key)
        with lmdb.open(str(folder), readonly=True, lock=False) as store, store.begin() as transaction:
            expected = [(key.decode(), bytes(value)) for key, value in transaction.cursor()]
        source = open_source(folder)
        assert source.names == [name for name, _ in expected]
        for i, (_, value) in enumerate(expected):
            with source.picture(i).stream() as file:
                assert file.read() == value


def test_nothing_is_written_beside_the_data(folder):
    load(open_source(folder).picture(0))
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]


def test_the_file_itself_can_be_given(folder):
    assert len(open_source(folder / "data.mdb").names) == 9


def test_a_value_that_is_no_picture_is_a_skip(tmp_path):
    source = open_source(write_lmdb(tmp_path / "l", [(b"\xff\x00", b"no picture"), (b"a", encoded(picture()))]))
    assert source.names == ["a", "0xff00"]
    load(source.picture(0))
    with pytest.raises(Skip, match="not a picture"):
        load(source.picture(1))


def test_an_lmdb_that_is_cut_off_is_an_error(folder):
    data = (folder / "data.mdb").read_bytes()
    for size in (len(data) // 2, len(data) - 4096, 8192, 4096, 100):
        (folder / "data.mdb").write_bytes(data[:size])
        with pytest.raises(UserError, match="cannot be read as an LMDB"):
            open_source(folder)


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"x" * 100_000])
def test_a_file_that_is_no_lmdb_is_an_error(tmp_path, data):
    (tmp_path / "data.mdb").write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as an LMDB: it (does not begin like one|is cut off)"):
        open_source(tmp_path)


def test_changed_bytes_are_an_error_or_skips(tmp_path):
    items = [(f"{i:040x}".encode(), encoded(picture(i, 8, 8))) for i in range(200)]
    folder = write_lmdb(tmp_path / "l", items)
    whole = (folder / "data.mdb").read_bytes()
    random = np.random.RandomState(0)
    refused = 0
    for trial in range(150):
        data = bytearray(whole)
        for _ in range(1 + trial % 5):
            data[random.randint(len(whole) // 4096) * 4096 + random.randint(64)] = random.randint(256)
        (folder / "data.mdb").write_bytes(data)
        try:
            source = open_source(folder)
            for i in range(0, len(source.names), 20):
                load(source.picture(i))
        except (UserError, Skip):
            refused += 1
    assert refused > 50


def test_pages_that_refer_to_themselves_are_an_error(folder):
    data = bytearray((folder / "data.mdb").read_bytes())
    root = struct.unpack_from("<Q", data, 4096 + 16 + 24 + 48 + 40)[0]
    assert struct.unpack_from("<H", data, root * 4096 + 10) == (1,)  # a branch
    (node,) = struct.unpack_from("<H", data, root * 4096 + 16)
    struct.pack_into("<H", data, root * 4096 + node, root)
    (folder / "data.mdb").write_bytes(data)
    with pytest.raises(UserError, match=f"refers to page {root}, which it does not have or has used already"):
        open_source(folder)


def test_an_empty_lmdb_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no picture"):
        open_source(write_lmdb(tmp_path / "l", []))


def test_an_lmdb_that_changes_meanwhile_is_a_skip(folder):
    source = open_source(folder)
    write_lmdb(folder, [(b"new", encoded(np.zeros([400, 400, 3], np.uint8)) * 20)])
    with pytest.raises(Skip, match="has changed meanwhile"):
        load(source.picture(0))
