import os

import pytest

from sgtool.datasets.shards import (
    Damaged,
    Png,
    Resumable,
    ShardWriter,
    data_path,
    index_path,
    is_complete,
    read_index,
    read_shard,
    remove_shard,
)
from sgtool.errors import UserError


def write(folder, number=7):
    with ShardWriter(folder, number) as shard:
        shard.add(20, 0, [(b"first", "ab", ["enlarged"]), (b"second", "cd", [])], {"thumbnail": b"\0\xff"})
        shard.add(20, 1, [(b"larger", "ef", ())])
        shard.fail(21, 0, "image file is truncated", unreadable=True)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["0000007.data", "0000007.index"]
    (first, some), (second, more), (third, none) = read_shard(tmp_path, 7)
    assert some == [b"first", b"second"]
    assert more == [b"larger"]
    assert none == []
    assert (first.index, first.edition, first.extra, first.failure) == (20, 0, {"thumbnail": b"\0\xff"}, None)
    assert first.pictures[0].notes == ("enlarged",)
    assert second.pictures == [Png(6, second.pictures[0].crc, "ef", ())]
    assert (third.index, third.failure, third.unreadable) == (21, "image file is truncated", True)
    assert list(read_index(tmp_path, 7)) == [first, second, third]


def test_a_shard_is_there_when_its_index_is(tmp_path):
    assert not is_complete(tmp_path, 7)
    write(tmp_path)
    assert is_complete(tmp_path, 7)
    data_path(tmp_path, 7).unlink()
    assert not is_complete(tmp_path, 7)
    assert is_complete(tmp_path, 7, with_data=False)
    remove_shard(tmp_path, 7)
    assert os.listdir(tmp_path) == []


def fail(folder):
    with ShardWriter(folder, 1) as shard:
        shard.add(0, 0, [(b"x", "ab", ())])
        raise RuntimeError


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        fail(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("which", [data_path, index_path])
def test_a_changed_byte_or_a_cut_is_noticed(tmp_path, which):
    write(tmp_path)
    path = which(tmp_path, 7)
    whole = path.read_bytes()
    for harmed in (whole[:-1], whole[:5] + bytes([whole[5] ^ 1]) + whole[6:], b""):
        path.write_bytes(harmed)
        with pytest.raises(Damaged):
            list(read_shard(tmp_path, 7))
    path.unlink()
    with pytest.raises(Damaged):
        list(read_shard(tmp_path, 7))


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    with (
        pytest.raises(Resumable, match="nowhere cannot be written .No such file or directory"),
        ShardWriter(tmp_path / "nowhere", 1),
    ):
        pass
    assert issubclass(Resumable, UserError)
