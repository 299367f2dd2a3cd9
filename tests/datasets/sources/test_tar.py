import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from source_makers import assert_pixels, encoded, picture, write_tar

from sgtool.datasets.sources import load, open_source, unpacked
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError

NAMES = ["b.png", "a/z.png", "a/y.png", "c.png"]


@pytest.fixture
def files():
    return [(name, encoded(picture(i))) for i, name in enumerate(NAMES)]


ORDER = [2, 1, 0, 3]  # of `files`, sorted by name


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_plain_and_compressed_tars_are_read(tmp_path, files, mode):
    source = open_source(write_tar(tmp_path / "p.tar", [*files, ("notes.txt", b"hello"), (".x.png", b"")], mode))
    assert source.names == ["a/y.png", "a/z.png", "b.png", "c.png"]
    assert source.ignored_files == 2
    assert source.counts == {"not pictures": 2}
    assert_pixels(source, [picture(i) for i in ORDER])
    assert len(pickle.dumps(source.picture(0))) < 400


def test_names_that_begin_with_a_dot_and_a_slash_are_like_those_without(tmp_path, files):
    source = open_source(write_tar(tmp_path / "p.tar", [("./" + name, data) for name, data in files]))
    assert source.names == ["a/y.png", "a/z.png", "b.png", "c.png"]


def test_the_text_files_of_a_dataset_are_read(tmp_path, files):
    path = write_tar(tmp_path / "p.tar", [*files, ("dataset.json", b'{"labels": null}')])
    source = open_source(path)
    assert source.text("dataset.json") == b'{"labels": null}'
    assert source.text("prepare.json") is None
    assert source.ignored_files == 0


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return name, info


def test_links_devices_and_names_that_lead_outside_are_counted_and_never_touch_the_disk(tmp_path, files):
    bad = [
        special("link.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard.png", tarfile.LNKTYPE, "b.png"),
        special("zero.png", tarfile.CHRTYPE),
        special("pipe.png", tarfile.FIFOTYPE),
        ("../../escape.png", files[0][1]),
        ("/tmp/absolute/escape.png", files[0][1]),
    ]
    source = open_source(write_tar(tmp_path / "p.tar", [*files, *bad]))
    assert len(source.names) == 4
    assert source.counts == {"links and devices": 4, "names that lead outside the archive": 2}
    assert source.ignored_files == 6
    assert os.listdir(tmp_path) == ["p.tar"]
    assert not os.path.exists("/tmp/absolute/escape.png")


def test_of_two_files_of_one_name_the_later_counts(tmp_path, files):
    source = open_source(write_tar(tmp_path / "p.tar", [*files, ("b.png", encoded(picture(9)))]))
    np.testing.assert_array_equal(np.asarray(load(source.picture(2))), picture(9))
    assert source.counts == {"replaced by a later file of the same name": 1}


def test_a_tar_that_is_cut_off_gives_what_is_before_and_says_so(tmp_path, files):
    path = write_tar(tmp_path / "p.tar", [(name, encoded(picture(i, 30, 30))) for i, name in enumerate(NAMES)])
    path.write_bytes(path.read_bytes()[:8000])
    source = open_source(path)
    assert 0 < len(source.names) < 4
    assert "is damaged at its end" in source.warnings[0]
    for i in range(len(source.names)):
        load(source.picture(i))


def test_a_damaged_header_in_the_middle_is_said_and_not_taken_for_the_end(tmp_path, files):
    path = write_tar(tmp_path / "p.tar", files)
    data = bytearray(path.read_bytes())
    data[2048 + 10] ^= 255  # each picture takes a header and one block
    path.write_bytes(data)
    source = open_source(path)
    assert source.names == ["a/z.png", "b.png"]
    assert "at byte 2048, is not one" in source.warnings[0]


def test_a_compressed_tar_that_is_cut_off_gives_what_is_before_and_says_so(tmp_path):
    path = write_tar(tmp_path / "p.tgz", [(f"{i}.png", encoded(picture(i, 100, 100))) for i in range(9)], "w:gz")
    path.write_bytes(path.read_bytes()[:150000])
    source = open_source(path)
    assert 2 < len(source.names) < 9
    assert "is damaged at its end" in source.warnings[0]


def test_a_size_beyond_the_file_reserves_nothing(tmp_path, files):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 40
        header = info.tobuf(tarfile.GNU_FORMAT)
        path = tmp_path / "p.tar"
        path.write_bytes(header + b"x" * 2000)
        with pytest.raises(UserError, match="p.tar"):
            open_source(path)


def test_a_disk_without_room_is_one_sentence_and_leaves_nothing(tmp_path, files, monkeypatch):
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(unpacked, "RESERVE", 1 << 60)
    with pytest.raises(UserError, match="no room to unpack it in .*Set TMPDIR"):
        open_source(write_tar(tmp_path / "p.tgz", files, "w:gz"))
    assert list(temporary.iterdir()) == []


def test_what_a_killed_program_left_behind_is_deleted_and_what_is_in_use_is_not(tmp_path, files, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{unpacked.PREFIX}old.tar"
    left.write_bytes(b"x")
    path = write_tar(tmp_path / "p.tgz", files, "w:gz")
    first = open_source(path)
    second = open_source(path)
    assert not left.exists()
    assert len(list(tmp_path.glob(f"{unpacked.PREFIX}*"))) == 2
    assert_pixels(first, [picture(i) for i in ORDER])
    assert_pixels(second, [picture(i) for i in ORDER])


def test_a_tar_that_changes_meanwhile_is_a_skip(tmp_path, files):
    path = write_tar(tmp_path / "p.tar", files)
    source = open_source(path)
    write_tar(path, [("pad.txt", b"x" * 20000), *files])
    with pytest.raises(Skip, match="has changed meanwhile"):
        load(source.picture(0))


def test_names_of_any_bytes_stay_apart(tmp_path, files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", encoding="latin1", format=tarfile.GNU_FORMAT) as tar:
        for name in ("\xff.png", "\xfe.png", "x" * 255 + "\xe9.png"):
            info = tarfile.TarInfo(name)
            info.size = len(files[0][1])
            tar.addfile(info, io.BytesIO(files[0][1]))
    (tmp_path / "p.tar").write_bytes(buffer.getvalue())
    source = open_source(tmp_path / "p.tar")
    assert len(set(source.names)) == 3
    for name in source.names:
        name.encode("utf-8")
    load(source.picture(2))


# -- WebDataset


def shard(path, samples, mode="w"):
    return write_tar(path, [(f"{key}.{ending}", data) for key, parts in samples for ending, data in parts.items()], mode)


def test_class_numbers_beside_the_pictures_are_labels(tmp_path):
    samples = [(f"{i:04d}", {"png": encoded(picture(i)), "cls": str(i % 3).encode()}) for i in range(5)]
    source = open_source(shard(tmp_path / "s.tar", samples))
    assert source.labels == {f"{i:04d}.png": i % 3 for i in range(5)}
    assert source.ignored_files == 0
    assert_pixels(source, [picture(i) for i in range(5)])


def test_class_names_are_numbered_in_alphabetical_order(tmp_path):
    samples = [(name, {"png": encoded(picture(0)), "cls": name[:3].encode()}) for name in ("dog1", "cat1", "cat2")]
    source = open_source(shard(tmp_path / "s.tar", samples))
    assert source.class_names == ["cat", "dog"]
    assert source.labels == {"cat1.png": 0, "cat2.png": 0, "dog1.png": 1}


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        ([b'{"label": 3, "width": 5}', b'{"label": 0}'], [3, 0]),
        ([b"4", b"5"], [4, 5]),
        ([b"[0.5, 1]", b"[2, 3]"], [(0.5, 1.0), (2.0, 3.0)]),
        ([b'{"width": 5}', b'{"width": 6}'], None),
    ],
)
def test_json_beside_the_pictures(tmp_path, texts, labels):
    source = open_source(
        shard(tmp_path / "s.tar", [(f"{i}", {"png": encoded(picture(i)), "json": text}) for i, text in enumerate(texts)])
    )
    assert (source.labels and list(source.labels.values())) == labels


def test_texts_are_captions_unless_all_are_numbers(tmp_path):
    samples = [("a", {"png": encoded(picture(0)), "txt": b"a red cat"}), ("b", {"png": encoded(picture(1)), "txt": b"7"})]
    source = open_source(shard(tmp_path / "s.tar", samples))
    assert source.labels is None
    assert source.counts == {"not pictures": 2}
    samples[0][1]["txt"] = b"2"
    assert open_source(shard(tmp_path / "s.tar", samples)).labels == {"a.png": 2, "b.png": 7}


def test_further_pictures_of_a_sample_are_left_out_and_counted(tmp_path):
    samples = [("a", {"png": encoded(picture(0)), "seg.png": encoded(picture(1)), "cls": b"1", "txt": b"caption"})]
    source = open_source(shard(tmp_path / "s.tar", samples))
    assert source.names == ["a.png"]
    assert source.counts == {"further pictures of a sample": 1, "texts beside pictures": 1}


def test_labels_of_several_kinds_are_an_error(tmp_path):
    samples = [(key, {"png": encoded(picture(0)), "cls": key.encode()}) for key in ("1", "cat")]
    with pytest.raises(UserError, match="labels of several kinds"):
        open_source(shard(tmp_path / "s.tar", samples))


@pytest.mark.parametrize("data", [b'{"label": ', b'{"label": {"a": 1}}', b'{"label": -1}', b"\xff", b"[" * 100000])
def test_a_label_that_is_none_is_an_error_in_a_sentence(tmp_path, data):
    with pytest.raises(UserError, match="a.json"):
        open_source(shard(tmp_path / "s.tar", [("a", {"png": encoded(picture(0)), "json": data})]))


@pytest.fixture
def shards(tmp_path):
    for number in range(3):
        samples = [(f"{i:03d}", {"png": encoded(picture(10 * number + i)), "cls": str(number).encode()}) for i in range(2)]
        shard(tmp_path / f"train-{number:02d}.tar", samples)
    return tmp_path


@pytest.mark.parametrize("pattern", ["", "train-{00..02}.tar", "train-*.tar", "train-0[0-2].tar", "train-{00,01,02}.tar"])
def test_several_shards_are_one_source(shards, pattern):
    source = open_source(shards / pattern if pattern else shards)
    assert source.names == [f"train-{number:02d}/{i:03d}.png" for number in range(3) for i in range(2)]
    assert list(source.labels.values()) == [0, 0, 1, 1, 2, 2]
    assert_pixels(source, [picture(10 * number + i) for number in range(3) for i in range(2)])


def test_a_missing_shard_is_an_error(shards):
    with pytest.raises(UserError, match="train-03.tar does not exist"):
        open_source(shards / "train-{00..03}.tar")


def test_a_pattern_without_end_is_an_error(shards):
    with pytest.raises(UserError, match="more than 100000 files"):
        open_source(shards / "train-{0..9999999999}.tar")
    with pytest.raises(UserError, match="more than 100000"):
        open_source(shards / "{0..999}-{0..999}.tar")


def test_an_address_is_an_error():
    with pytest.raises(UserError, match="is an address. Download it"):
        open_source("https://example.com/shards-{000..012}.tar")


def test_sparse_files_are_left_out(tmp_path, files):
    path = write_tar(tmp_path / "p.tar", [*files, special("sparse.png", tarfile.GNUTYPE_SPARSE)])
    assert open_source(path).counts == {"links and devices": 1}
