"""The file under snapshots and checkpoints: what comes back, what is refused, and that no code runs."""

import collections
import errno
import os
import pickle
import subprocess
import sys
import zipfile

import pytest
import torch

from sgtool.errors import UserError
from sgtool.snapshots import read_container, tensors_of, write_container


def contents():
    torch.manual_seed(0)
    return {
        "weights": {"a": torch.randn(50, 40), "half": torch.randn(3).to(torch.bfloat16), "step": torch.tensor(7)},
        "random": torch.get_rng_state(),
        "numbers": [1, 2.5, None, True, "größe", b"\x00\xff", 2**70, float("inf")],
        "nested": {"list": [{"x": torch.zeros(0)}], 3: "int keys are fine"},
    }


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def test_contents_come_back_as_they_were(tmp_path):
    write_container(contents(), tmp_path / "x.pkl", "checkpoint")
    read = read_container(tmp_path / "x.pkl", "checkpoint")
    assert [read.pop(key) for key in ("format", "version", "kind")] == ["sgtool", 1, "checkpoint"]
    assert equal(read, contents())


def test_plain_torch_reads_it_with_weights_only(tmp_path):
    write_container(contents(), tmp_path / "x.pkl", "snapshot")
    assert torch.load(tmp_path / "x.pkl", weights_only=True)["format"] == "sgtool"


def test_tuples_become_lists_and_parameters_bare_tensors(tmp_path):
    values = {"t": (1, (2,)), "p": torch.nn.Parameter(torch.ones(2)), "o": collections.OrderedDict(a=1)}
    write_container(values, tmp_path / "x", "snapshot")
    read = read_container(tmp_path / "x", "snapshot")
    assert read["t"] == [1, [2]]
    assert type(read["o"]) is dict
    assert type(read["p"]) is torch.Tensor
    assert not read["p"].requires_grad


def test_a_view_is_written_without_the_rest_of_its_storage(tmp_path):
    large = torch.randn(1000, 1000)
    write_container({"row": large[3], "column": large[:, 3], "turned": large[:9, :4].t()}, tmp_path / "x.pkl", "snapshot")
    assert (tmp_path / "x.pkl").stat().st_size < 20_000
    read = read_container(tmp_path / "x.pkl", "snapshot")
    assert torch.equal(read["column"], large[:, 3])
    assert torch.equal(read["turned"], large[:9, :4].t())
    assert all(tensor.is_contiguous() for _, tensor in tensors_of(read))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [{"b": {1, 2}}]}, r"contents\['a'\]\[0\]\['b'\] is a set"),
        ({"f": print}, "builtin_function_or_method"),
        ({"a": {(1, 2): 3}}, r"key \(1, 2\)"),
        ({"a": os.sep.join}, "not data"),
    ],
)
def test_what_is_not_data_is_not_written(tmp_path, value, words):
    with pytest.raises(TypeError, match=words):
        write_container(value, tmp_path / "x.pkl", "snapshot")
    assert list(tmp_path.iterdir()) == []


def test_numpy_values_are_named_and_not_written(tmp_path):
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match=r"contents\['x'\] is a float64"):
        write_container({"x": np.float64(1)}, tmp_path / "x.pkl", "snapshot")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_damaged(tmp_path, share):
    path = tmp_path / "x.pkl"
    write_container(contents(), path, "checkpoint")
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(share * len(data)))])
    with pytest.raises(UserError, match="x.pkl is damaged: cut short or not completely copied"):
        read_container(path, "checkpoint")


def test_a_single_wrong_bit_in_the_weights_is_damage(tmp_path):
    path = tmp_path / "x.pkl"
    write_container(contents(), path, "checkpoint")
    data = bytearray(path.read_bytes())
    data[data.index(contents()["weights"]["a"].numpy().tobytes()) + 1001] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="x.pkl is damaged"):
        read_container(path, "checkpoint")


def test_random_damage_anywhere_is_a_user_error_or_harmless(tmp_path):
    path, random = tmp_path / "x.pkl", torch.Generator().manual_seed(0)
    write_container(contents(), path, "checkpoint")
    whole = path.read_bytes()
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        data[int(torch.randint(len(data), [1], generator=random))] ^= 1 << int(torch.randint(8, [1], generator=random))
        path.write_bytes(data)
        try:
            read = read_container(path, "checkpoint")
        except UserError:
            refused += 1
        else:  # padding between the parts
            assert equal({key: read[key] for key in contents()}, contents())
    assert refused > 100


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"just some text, not a network", "is not a snapshot of sgtool"),
        (pickle.dumps({"G": 1}, protocol=3), "pickle of another program"),
        (b"PK\x03\x04" + bytes(100), "damaged: cut short"),
    ],
)
def test_other_files_are_told_apart(tmp_path, data, words):
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(UserError, match=words):
        read_container(tmp_path / "x.pkl", "snapshot")


def test_missing_files_and_folders_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_container(tmp_path / "none.pkl", "snapshot")
    with pytest.raises(UserError, match="is not a file"):
        read_container(tmp_path, "snapshot")


def test_nvidias_snapshots_are_a_foreign_format(golden):
    with pytest.raises(UserError, match="pickle of another program"):
        read_container(golden / "snapshot_ada_uncond.pkl", "snapshot")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": torch.zeros(2)}, "was not written by sgtool"),
        ([1, 2], "was not written by sgtool"),
        ({"format": "sgtool", "version": 2}, "newer sgtool .format 2, not 1.. Upgrade"),
        ({"format": "sgtool", "version": "1"}, "format version is no number"),
        ({"format": "sgtool", "version": 1, "kind": "checkpoint"}, "is a training checkpoint, not a snapshot"),
        ({"format": "sgtool", "version": 1, "kind": ["?"]}, "is something else, not a snapshot"),
        (
            {"format": "sgtool", "version": 1, "x": torch.zeros(1).expand(10**12)},
            "but holds 1 numbers",
        ),
        ({"format": "sgtool", "version": 1, "x": torch.zeros(2, 2).to_sparse()}, "sparse"),
        ({"format": "sgtool", "version": 1, "x": [{"y": torch.float32}]}, "holds more than tensors and plain values .a dtype"),
        ({"format": "sgtool", "version": 1, "x": {1, 2}}, "holds more than tensors and plain values"),
        ({"format": "sgtool", "version": 1, "x": torch.device("cpu")}, "holds more than .* .torch.device"),
        ({"format": "sgtool", "version": 10**400}, "newer sgtool"),
    ],
)
def test_archives_of_torch_with_other_contents_are_refused(tmp_path, value, words):
    torch.save(value, tmp_path / "x.pkl")
    with pytest.raises(UserError, match=words):
        read_container(tmp_path / "x.pkl", "snapshot")


def test_what_was_one_tensor_is_one_tensor_and_owns_its_memory(tmp_path):
    weight = torch.ones(3)
    torch.save(
        {"format": "sgtool", "version": 1, "a": weight, "b": [weight, weight.view(3)], "c": weight[1:]}, tmp_path / "x.pkl"
    )
    read = read_container(tmp_path / "x.pkl", "snapshot")
    assert read["a"] is read["b"][0]
    assert read["a"] is read["b"][1]
    read["a"].zero_()
    assert read["c"].tolist() == [1, 1]
    assert all(tensor.numel() * 4 == tensor.untyped_storage().nbytes() for _, tensor in tensors_of(read))


def test_a_container_of_the_older_layout_is_not_one_of_sgtool(tmp_path):
    torch.save({"format": "sgtool", "version": 1}, tmp_path / "x.pkl", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="pickle of another program"):
        read_container(tmp_path / "x.pkl", "snapshot")


def test_contents_that_hold_themselves_are_refused(tmp_path):
    value = {"format": "sgtool", "version": 1}
    value["again"] = value
    torch.save(value, tmp_path / "x.pkl")
    with pytest.raises(UserError, match=r"x\.pkl is damaged: a part of it contains itself"):
        read_container(tmp_path / "x.pkl", "snapshot")


def test_contents_without_a_kind_are_a_snapshot(tmp_path):
    torch.save({"format": "sgtool", "version": 1, "nimg": 5}, tmp_path / "x.pkl")
    assert read_container(tmp_path / "x.pkl", "snapshot")["nimg"] == 5


class Payload:
    """A value whose pickle creates a file when it is loaded by a careless program."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_an_archive_never_runs(tmp_path, protocol):
    marker = tmp_path / "it-ran"
    torch.save({"format": "sgtool", "version": 1, "x": Payload(marker)}, tmp_path / "x.pkl", pickle_protocol=protocol)
    with pytest.raises(UserError, match="more than tensors and plain values"):
        read_container(tmp_path / "x.pkl", "snapshot")
    assert not marker.exists()


def test_code_in_a_plain_pickle_never_runs(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"format": "sgtool", "version": 1, "x": Payload(tmp_path / "it-ran")}))
    with pytest.raises(UserError, match="another program"):
        read_container(tmp_path / "x.pkl", "snapshot")
    assert not (tmp_path / "it-ran").exists()


def test_memory_bombs_are_not_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return bytearray, (10**13,)

    torch.save({"format": "sgtool", "version": 1, "x": Bomb()}, tmp_path / "x.pkl")
    with pytest.raises(UserError, match="more than tensors and plain values"):
        read_container(tmp_path / "x.pkl", "snapshot")


def test_packed_archives_are_refused(tmp_path):
    write_container({"zeros": torch.zeros(100_000)}, tmp_path / "x.pkl", "snapshot")
    with zipfile.ZipFile(tmp_path / "x.pkl") as source, zipfile.ZipFile(tmp_path / "y.pkl", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(UserError, match="packed again"):
        read_container(tmp_path / "y.pkl", "snapshot")


def test_a_zip_of_something_else_is_told_apart(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("00000/img00000000.png", b"picture")
    with pytest.raises(UserError, match="zip file but not one of torch.save"):
        read_container(tmp_path / "x.zip", "snapshot")


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "x.pkl"
    write_container({"old": 1}, path, "snapshot")
    real_fdopen = os.fdopen

    def fdopen(*args, **kwargs):
        file = real_fdopen(*args, **kwargs)
        return FullDisk(file)

    monkeypatch.setattr(os, "fdopen", fdopen)
    with pytest.raises(UserError, match="x.pkl could not be written: No space left on device") as caught:
        write_container(contents(), path, "snapshot")
    assert "untouched" in str(caught.value)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["x.pkl"]
    assert read_container(path, "snapshot")["old"] == 1


class FullDisk:
    """A file on a disk with 3,000 bytes left."""

    def __init__(self, file):
        self.file, self.left = file, 3000

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def flush(self):
        self.file.flush()


LIMITED = """
import resource, signal, sys, torch
from sgtool.errors import UserError
from sgtool.snapshots import read_container, write_container
path = sys.argv[1]
write_container({"old": 1}, path, "snapshot")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_container({"new": torch.randn(100_000)}, path, "snapshot")
except UserError as error:
    print(error.message)
print(read_container(path, "snapshot")["old"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_write_that_the_system_stops_leaves_the_old_file(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / "x.pkl")], capture_output=True, text=True, check=True)
    assert "x.pkl could not be written: File too large" in done.stdout
    assert done.stdout.endswith("\n1\n")
    assert [file.name for file in tmp_path.iterdir()] == ["x.pkl"]
