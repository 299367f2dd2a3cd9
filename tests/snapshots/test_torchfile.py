"""Files of torch.save, in both layouts: the same values and tensors as torch's own reader, and refusals in words."""

import argparse
import collections
import io
import pickle
import struct
import zipfile

import pytest
import torch

from sgtool.snapshots.inert import Inert, Unlisted
from sgtool.snapshots.legacy import is_legacy
from sgtool.snapshots.spans import Refused, Span, Stored
from sgtool.snapshots.torchfile import is_torch_file, read

LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
DTYPES = [
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.complex64, torch.complex128),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8),
]
NEWER = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]


def saved(value, zipped=True, **options):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped, **options)
    return file.getvalue()


def read_bytes(data):
    return read(Span(io.BytesIO(data), 0, len(data)))


def refusal(data):
    with pytest.raises(Refused) as caught:
        read_bytes(data)
    return str(caught.value)


def same(ours, torchs):
    """The same, `Stored` standing for tensors."""
    if isinstance(torchs, torch.Tensor):
        read = ours.tensor()
        bits = [t.detach().contiguous().view(-1).view(torch.uint8) for t in (read, torchs)]
        return isinstance(ours, Stored) and read.dtype == torchs.dtype and read.shape == torchs.shape and torch.equal(*bits)
    if isinstance(torchs, dict):
        return type(ours) is dict and list(ours) == list(torchs) and all(same(ours[key], torchs[key]) for key in torchs)
    if isinstance(torchs, (list, tuple)):
        return len(ours) == len(torchs) and all(map(same, ours, torchs))
    return ours == torchs


@LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES + NEWER, ids=str)
def test_tensors_of_every_type_come_out(zipped, dtype):
    torch.manual_seed(0)
    value = {"a": (torch.rand(3, 4) * 9).to(dtype), "none": torch.zeros(0, 2, dtype=dtype), "one": torch.ones((), dtype=dtype)}
    assert same(read_bytes(saved(value, zipped)), value)


@LAYOUTS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_views_and_shared_storages_come_out(zipped, protocol):
    torch.manual_seed(0)
    whole = torch.randn(6, 7, 8)
    value = {
        "views": [
            whole,
            whole[2],
            whole[:, 3],
            whole.permute(2, 0, 1),
            whole[1:, ::2, ::3],
            whole.t() if whole.dim() == 2 else 0,
        ],
        "plain": [1, 2.5, None, True, "größe", b"\0\xff", 2**70, (1, (2,)), {3: 4}, {1, 2}],
        "size": whole.shape,
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    }
    assert same(read_bytes(saved(value, zipped, pickle_protocol=protocol)), value)


@LAYOUTS
def test_state_dicts_of_modules_and_optimizers_come_out(zipped):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1, betas=(0.0, 0.99))
    module(torch.randn(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    value = {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "iteration": 1}
    assert same(read_bytes(saved(value, zipped)), value)


@LAYOUTS
def test_parameters_and_tensors_with_attributes_come_out_as_tensors(zipped):
    parameter = torch.nn.Parameter(torch.arange(3.0))
    noted = torch.nn.Parameter(torch.ones(2))
    noted.note = "an attribute"
    tensor = torch.zeros(4)
    tensor.note = "an attribute"
    value = {"p": parameter, "noted": noted, "tensor": tensor, "buffer": torch.nn.Buffer(torch.ones(1))}
    assert same(read_bytes(saved(value, zipped)), value)


@LAYOUTS
def test_arguments_of_a_trainer_come_out_inert(zipped):
    value = read_bytes(saved({"args": argparse.Namespace(size=256, lr=0.002)}, zipped))
    assert isinstance(value["args"], Inert)
    assert value["args"].state == {"size": 256, "lr": 0.002}


@LAYOUTS
def test_what_is_read_stays_where_it_is_until_it_is_asked_for(zipped):
    class Counting(io.BytesIO):
        count = 0

        def readinto(self, buffer):
            Counting.count += 1
            return super().readinto(buffer)

    data = saved({"a": torch.ones(1000), "b": torch.zeros(1000)}, zipped)
    value = read(Span(Counting(data), 0, len(data)))
    assert Counting.count == 0
    assert value["a"].tensor().sum() == 1000
    assert Counting.count == 1


def test_storages_that_are_views_of_others_are_found():
    """Until torch 0.4, two storages could share their bytes; the legacy layout says so by a view of (key, offset, size)."""
    data = saved(torch.arange(6.0), zipped=False)
    view = b"X\x04\0\0\0viewK\x02K\x03\x87"
    at = data.index(b"Nt", data.index(b"FloatStorage"))
    changed = data[:at] + view + data[at + 1 :]
    changed = changed.replace(b"K\x06\x85", b"K\x03\x85")
    assert read_bytes(changed).tensor().tolist() == [2, 3, 4]
    for beyond in (b"X\x04\0\0\0viewK\x02K\x05\x87", b"X\x04\0\0\0viewK\x02J\xff\xff\xff\xff\x87", b"K\x01"):
        assert "is damaged" in refusal(data[:at] + beyond + data[at + 1 :])


def repacked(data, change):
    """A stored zip of the same parts after `change(parts)`, without torch's alignment."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    changed = change(parts)
    parts = parts if changed is None else changed
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return file.getvalue()


def test_files_of_the_other_kind_of_machine_are_turned():
    value = {"f": torch.arange(6.0).view(2, 3), "i": torch.arange(3), "c": torch.arange(3) * (1 + 2j), "b": torch.tensor([True])}

    def turned(parts):
        sizes = [4, 8, 8, 1]
        for i, size in enumerate(sizes):
            part = parts[f"archive/data/{i}"]
            parts[f"archive/data/{i}"] = b"".join(part[at : at + size][::-1] for at in range(0, len(part), size))
        whole = parts["archive/data/2"]
        parts["archive/data/2"] = b"".join(whole[at + 4 : at + 8] + whole[at : at + 4] for at in range(0, len(whole), 8))
        parts["archive/byteorder"] = b"big"

    assert same(read_bytes(repacked(saved(value), turned)), value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda parts: {"a": b"x"}, "is a zip file but not one of torch.save"),
        (lambda parts: {"data.pkl": parts["archive/data.pkl"]}, "is a zip file but not one of torch.save"),
        (lambda parts: {"a/b/data.pkl": parts["archive/data.pkl"]}, "is a zip file but not one of torch.save"),
        (lambda parts: parts | {"other/data.pkl": b"N."}, "is a zip file but not one of torch.save"),
        (lambda parts: parts | {"archive/constants.pkl": b"N."}, "is a TorchScript program"),
        (lambda parts: parts | {"archive/code/model.py": b"1/0"}, "is a TorchScript program"),
        (lambda parts: parts | {"archive/byteorder": b"middle"}, "order of its bytes"),
        (lambda parts: parts | {"archive/byteorder": b""}, "beyond its end"),
        (lambda parts: {k: v for k, v in parts.items() if k != "archive/data/0"}, "its part archive/data/0 is missing"),
        (lambda parts: parts | {"archive/data/0": b"1234"}, "its part data/0 has 4 bytes and not 3 numbers"),
        (lambda parts: parts | {"archive/data/0": bytes(400)}, "its part data/0 has 400 bytes and not 3 numbers"),
        (lambda parts: parts | {"archive/data.pkl": b""}, "breaks off"),
        (lambda parts: parts | {"archive/data.pkl": b"K\x05Q."}, "something that is no storage"),
        (lambda parts: parts | {"archive/data.pkl": b"(Vstorage\nctorch\nFloatStorage\nK\0NK\x03tQ."}, "no storage"),
        (lambda parts: parts | {"archive/data.pkl": b"(Vstorage\nctorch\nfloat32\nV0\nNK\x03tQ."}, "no storage"),
        (lambda parts: parts | {"archive/data.pkl": b"(Vstorage\nctorch\nFloatStorage\nV../0\nNK\x03tQ."}, "is missing"),
        (lambda parts: parts | {"archive/data.pkl": b"cos\nsystem\n(Vls\ntR."}, "asks for os.system"),
    ],
)
def test_zip_files_with_other_contents_are_refused_in_words(change, words):
    data = saved({"a": torch.ones(3)})
    assert same(read_bytes(repacked(data, lambda parts: parts)), {"a": torch.ones(3)})
    assert words in refusal(repacked(data, change))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"\x80\x02M\xe9\x03.", b"\x80\x02M\xea\x03.", "a version of torch.save that this version of sgtool does not know"),
        (b"FloatStorage", b"EloatStorage", "asks for torch.EloatStorage"),
        (struct.pack("<q", 3) + struct.pack("<f", 1.0), struct.pack("<q", 4) + struct.pack("<f", 1.0), "has 4 elements"),
        (struct.pack("<q", 3) + struct.pack("<f", 1.0), struct.pack("<q", -3) + struct.pack("<f", 1.0), "has -3 elements"),
        (b"K\x03\x85", b"K\x04\x85", "a tensor of shape [4] but holds 3 numbers"),
        (b"K\x03Nt", b"K\x02Nt", "holds 2 numbers"),
        (b"K\x03Nt", b"J\xff\xff\xff\xffNt", "something that is no storage"),
        (b"K\x03Nt", b"\x8a\x08" + b"\xff" * 7 + b"\x7fNt", "something that is no storage"),
        (b"X\x07\0\0\0storage", b"X\x07\0\0\0garbage", "something that is no storage"),
    ],
)
def test_legacy_files_that_contradict_themselves_are_damage(old, new, words):
    data = saved({"a": torch.ones(3)}, zipped=False)
    assert data.count(old) == 1
    assert words in refusal(data.replace(old, new))


@LAYOUTS
def test_a_file_cut_short_anywhere_is_refused(zipped):
    data = saved({"a": torch.ones(30), "b": [torch.zeros(2), "text"]}, zipped)
    for size in range(32, len(data), 7 if zipped else 1):
        refusal(data[:size])


def test_tensors_that_are_together_larger_than_the_file_are_refused():
    whole = torch.zeros(1 << 18)
    views = [whole[i:] for i in range(100)]
    assert "much larger than the file" in refusal(saved(views))
    assert "much larger than the file" in refusal(saved(views, zipped=False))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(2).to_sparse(),
        torch.empty(2, device="meta"),
    ],
    ids=["sparse", "meta"],
)
def test_tensors_of_special_kinds_are_refused_by_name(tensor):
    assert "asks for torch" in refusal(saved([tensor]))


class Subclass(torch.Tensor):
    """A kind of tensor of a program."""


class Generator(torch.nn.Module):
    """A network of a program."""


@LAYOUTS
def test_whole_modules_are_refused_with_a_hint(zipped):
    said = refusal(saved(Generator(), zipped))
    assert said.startswith(f"asks for {__name__}.Generator, an object of a program, and is not opened: it could run code.")
    assert "state_dict()" in said
    assert "Subclass" in refusal(saved(torch.zeros(2).as_subclass(Subclass), zipped))


@LAYOUTS
def test_code_is_refused_by_name(zipped):
    class Payload:
        def __reduce__(self):
            return print, ("it ran",)

    with pytest.raises(Unlisted, match=r"asks for (builtins|__builtin__)\.print, which is not part of a model") as caught:
        read_bytes(saved([Payload()], zipped))
    assert caught.value.name.endswith(".print")


def storage(size):
    return torch.storage.TypedStorage(wrap_storage=torch.ones(size).untyped_storage(), dtype=torch.float32, _internal=True)


def nested(inner):
    """A pickle that has `inner` where a storage is pickled without torch.save."""
    return b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."


def test_tensors_pickled_without_torch_save_are_read_from_the_streams_inside():
    from sgtool.snapshots.unpickler import unpickle
    from sgtool.snapshots.vocabulary import VOCABULARY

    whole = torch.arange(200.0).view(10, 20)
    value = {"a": whole, "again": whole, "view": whole[:, 3], "small": torch.tensor(5), "p": torch.nn.Parameter(torch.ones(3))}
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        assert same(unpickle(Span(io.BytesIO(data), 0, len(data)), VOCABULARY)[0], value)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (saved(collections.OrderedDict(a=1), zipped=False), "something other than numbers"),
        (saved(torch.ones(3)), "something other than numbers"),
        (b"cos\nsystem\n.", "something other than numbers"),
        (saved(storage(3), zipped=False).replace(b"FloatStorage", b"EloatStorage"), "asks for torch.EloatStorage"),
    ],
)
def test_streams_inside_of_pickles_hold_storages_and_nothing_else(inner, words):
    from sgtool.snapshots.unpickler import unpickle
    from sgtool.snapshots.vocabulary import VOCABULARY

    data = nested(inner)
    with pytest.raises(Refused, match=words):
        unpickle(Span(io.BytesIO(data), 0, len(data)), VOCABULARY)


def test_streams_inside_of_streams_are_refused():
    from sgtool.snapshots.unpickler import unpickle
    from sgtool.snapshots.vocabulary import VOCABULARY

    stream = saved(storage(3), zipped=False)
    start = stream.index(b"\x80\x02", stream.index(b"little_endian"))
    data = nested(stream[:start] + nested(stream) + stream[start:])
    with pytest.raises(Refused, match=r"nests torch\.load in torch\.load"):
        unpickle(Span(io.BytesIO(data), 0, len(data)), VOCABULARY)


def test_the_layouts_are_told_by_their_first_bytes():
    zipped, legacy = saved([1]), saved([1], zipped=False)
    assert [is_legacy(data[:32]) for data in (zipped, legacy, pickle.dumps(1))] == [False, True, False]
    assert [is_torch_file(data[:32]) for data in (zipped, legacy, pickle.dumps(1), b"")] == [True, True, False, False]


def test_golden_files_are_read_like_torch_reads_them(golden):
    for name in ("rosinality.pt", "rosinality_trainer.pt"):
        data = (golden / name).read_bytes()
        expected = torch.load(golden / name, weights_only=False)
        arguments = expected.pop("args", None)
        value = read_bytes(data)
        if arguments:
            assert value.pop("args").state == vars(arguments)
        assert same(value, expected)
        legacy = saved(expected, zipped=False)
        assert same(read_bytes(legacy), expected)
