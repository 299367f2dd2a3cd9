import os
import pickle

import numpy as np
import pytest
from source_makers import assert_pixels, encoded, picture

from sgtool.datasets.sources import is_picture_name, load, open_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for i, name in enumerate(["b.png", "a/z.PNG", "a/y.png", "c.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(picture(i)))
    (root / "notes.txt").write_text("hello")
    (root / ".hidden.png").write_bytes(b"")
    return root


def test_a_folder_is_read_with_all_below_it_in_sorted_order(folder):
    source = open_source(folder)
    assert source.names == ["a/y.png", "a/z.PNG", "b.png", "c.png"]
    assert source.ignored_files == 2
    assert source.counts == {"not pictures": 2}
    assert source.warnings == []
    assert_pixels(source, [picture(i) for i in (2, 1, 0, 3)])


def test_pictures_are_small_to_pickle(folder):
    assert len(pickle.dumps(open_source(folder).picture(0))) < 300


def test_a_loop_of_symbolic_links_is_walked_once(folder):
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to("self")
    source = open_source(folder)
    assert len(source.names) == 4
    assert source.counts["links that lead nowhere"] == 1


def test_two_links_to_one_folder_give_its_pictures_once_and_always_under_the_same_name(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.png").write_bytes(encoded(picture(5)))
    (folder / "n2").symlink_to(other, target_is_directory=True)
    (folder / "n1").symlink_to(other, target_is_directory=True)
    names = open_source(folder).names
    assert [name for name in names if name.endswith("x.png")] == ["n1/x.png"]


def test_links_to_pictures_are_followed_and_those_that_lead_nowhere_counted(folder):
    (folder / "link.png").symlink_to(folder / "b.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    source = open_source(folder)
    assert "link.png" in source.names
    assert "gone.png" not in source.names
    assert source.counts["links that lead nowhere"] == 1
    assert source.ignored_files == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_counted_and_never_opened(folder):
    os.mkfifo(folder / "pipe.png")
    source = open_source(folder)
    assert "pipe.png" not in source.names
    assert source.counts["pipes, devices and sockets"] == 1


def test_a_folder_that_may_not_be_read_is_counted_and_said(folder, monkeypatch):
    real = os.scandir

    def guarded(path):  # as the system answers, to which permissions of the superuser are no obstacle
        if os.path.basename(path) == "a":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    source = open_source(folder)
    assert source.names == ["b.png", "c.png"]
    assert source.counts["unreadable folders"] == 1
    assert source.warnings == ["The folder a may not be read, and was left out. Change its permissions."]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_permissions_are_the_systems_own(folder):
    (folder / "a").chmod(0)
    try:
        assert open_source(folder).names == ["b.png", "c.png"]
    finally:
        (folder / "a").chmod(0o755)


def test_a_picture_that_disappears_after_the_listing_is_a_skip(folder):
    source = open_source(folder)
    (folder / "b.png").unlink()
    with pytest.raises(Skip, match="No such file"):
        load(source.picture(2))
    np.testing.assert_array_equal(np.asarray(load(source.picture(3))), picture(3))


def test_names_of_any_bytes_and_length_are_read_and_stay_apart(tmp_path):
    names = ["猫.png", "e\u0301.png", "\u00e9.png", "new\nline.png", "%41.png", "a" * 251 + ".png", "\U0001f600.png", "x#y?.png"]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(encoded(picture(i)))
    wild = [b"\xff.png", b"\xfe.png", b"caf\xe9.png"]
    for name in wild:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(encoded(picture(0)))
    source = open_source(tmp_path)
    assert len(set(source.names)) == len(names) + len(wild)
    assert set(names) < set(source.names)
    assert source.names == sorted(source.names)
    for i, name in enumerate(source.names):
        name.encode("utf-8")
        load(source.picture(i))


@pytest.mark.parametrize("name", ["a.png", "x/B.JPEG", "c.d.webp", "phone.heic", "3d.mpo", "new.jxl"])
def test_pictures_are_known_by_their_ending(name):
    assert is_picture_name(name)


@pytest.mark.parametrize(
    "name", ["a.txt", "png", ".a.png", "__MACOSX/._a.png", "@eaDir/a.png", ".git/a.png", "a.eps", "a.png/readme"]
)
def test_other_files_and_hidden_ones_are_no_pictures(name):
    assert not is_picture_name(name)


def test_another_dataset_keeps_its_labels_and_class_names(tmp_path):
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000/img00000000.png").write_bytes(encoded(picture(0)))
    (tmp_path / "dataset.json").write_text('{"labels": [["00000/img00000000.png", 1]]}')
    (tmp_path / "prepare.json").write_text('{"class_names": ["cat", "dog"]}')
    source = open_source(tmp_path)
    assert source.text("dataset.json") == b'{"labels": [["00000/img00000000.png", 1]]}'
    assert b"dog" in source.text("prepare.json")
    assert source.ignored_files == 0


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds nothing"):
        open_source(tmp_path)


def test_a_folder_of_text_files_is_an_error(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text("hello")
    with pytest.raises(UserError, match="holds 3 files, but none is a picture"):
        open_source(tmp_path)
