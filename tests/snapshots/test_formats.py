"""Model files are told by their content, whatever they are called; what is no model file gets a sentence that helps."""

import bz2
import collections
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile

import pytest
import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot, formats, opened, save
from sgtool.snapshots.inert import Inert

SIZES = {"channel_base": 64, "channel_max": 8}


@pytest.fixture(scope="module")
def snapshot():
    torch.manual_seed(0)
    G = build_generator(
        z_dim=8, c_dim=0, w_dim=8, img_resolution=8, img_channels=3, mapping_kwargs={"num_layers": 1}, synthesis_kwargs=SIZES
    )
    D = build_discriminator(c_dim=0, img_resolution=8, img_channels=3, **SIZES)
    return Snapshot(G_ema=G, G=G, D=D, augment_p=0.5, nimg=3000)


def refusal(path):
    with pytest.raises(UserError) as caught, opened(path):
        raise AssertionError("it was opened")
    message = caught.value.message
    assert message.startswith(str(path))
    assert message.isprintable()
    assert message.endswith((".", "?"))
    return message


def test_own_snapshots_are_described_and_read_on_demand(snapshot, tmp_path):
    save(snapshot, tmp_path / "any name.txt")
    with opened(tmp_path / "any name.txt") as contents:
        assert (contents.format, contents.exact, contents.augment_p, contents.nimg) == ("sgtool", True, 0.5, 3000)
        assert set(contents.networks) == {"G_ema", "G", "D"}
        weight = contents.networks["G_ema"].state["synthesis.b4.const"]
        assert torch.equal(weight.tensor(), snapshot.G_ema.state_dict()["synthesis.b4.const"])


def test_what_is_read_later_and_damaged_is_a_user_error_too(snapshot, tmp_path):
    path = tmp_path / "x.pkl"
    save(snapshot, path)

    def read_late():
        with opened(path) as contents:
            os.truncate(path, 100)
            contents.networks["G_ema"].state["synthesis.b4.conv1.weight"].tensor()

    with pytest.raises(UserError, match=r"x\.pkl is damaged: it became shorter"):
        read_late()


def test_errors_of_the_caller_pass_through(snapshot, tmp_path):
    save(snapshot, tmp_path / "x.pkl")
    with pytest.raises(OSError, match="of the caller"), opened(tmp_path / "x.pkl"):
        raise OSError("of the caller")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_state_dicts_are_read_in_every_layout_of_torch(snapshot, tmp_path, zipped, protocol):
    path, state = tmp_path / "x", snapshot.G_ema.state_dict()
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with opened(path) as contents:
        assert contents.format == "state-dict"
        found = contents.networks["G_ema" if "G_ema" in contents.networks else "G"].state
        assert all(torch.equal(found[name].tensor(), tensor) for name, tensor in state.items() if name in found)


@pytest.mark.parametrize("protocol", range(6))
def test_state_dicts_are_read_from_plain_pickles(snapshot, tmp_path, protocol):
    (tmp_path / "x").write_bytes(pickle.dumps(dict(snapshot.G_ema.state_dict()), protocol))
    with opened(tmp_path / "x") as contents:
        assert contents.format == "state-dict"


def test_a_readers_answer_is_taken_from_the_first_that_recognises_the_value(monkeypatch, tmp_path):
    class Reader:
        def __init__(self, name, knows):
            self.name, self.knows = name, knows

        def recognise(self, value):
            return self.knows

        def describe(self, value):
            return (self.name, value)

    monkeypatch.setattr(formats, "READERS", (Reader("a", False), Reader("b", True), Reader("c", True)))
    (tmp_path / "x").write_bytes(pickle.dumps({"k": 1}))
    with opened(tmp_path / "x") as contents:
        assert contents == ("b", {"k": 1})


def archive(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def tar_of(name):
    def write(file):
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name))

    return archive(write)


def zip_of(name):
    def write(file):
        with zipfile.ZipFile(file, "w") as zipped:
            zipped.writestr(name, b"content")

    return archive(write)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>", "is a web page"),
        (b"\xef\xbb\xbf<HTML>", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "Run git lfs pull"),
        (gzip.compress(b"N.", mtime=0), r"is packed (gzip)"),
        (bz2.compress(b"N."), "is packed (bzip2)"),
        (lzma.compress(b"N."), "is packed (xz)"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(30), "is packed (7z)"),
        (b"Rar!\x1a\x07\x00" + bytes(30), "is packed (rar)"),
        (b"\x28\xb5\x2f\xfd" + bytes(30), "is packed (zstd)"),
        (tar_of("model.pkl"), "is a tar file. Unpack it"),
        (tar_of("sys_info"), "is of torch 0.1"),
        (zip_of("model.pkl"), "is a zip file but not one of torch.save"),
        (archive(lambda file: zipfile.ZipFile(file, "w").close()), "is an empty zip file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is a picture"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(50), "is an ONNX file"),
        (b'model_checkpoint_path: "model.ckpt-5"\n', "checkpoint of TensorFlow"),
        (b"just some text", "is no model file that sgtool knows"),
        (b"(this is not a pickle.", "is damaged"),
        (bytes(100), "is no model file that sgtool knows"),
        (b"PK\x03\x04" + bytes(100), "is damaged: cut short"),
        (pickle.dumps([1, 2]), "holds a list, not a StyleGAN2 model"),
        (pickle.dumps({}), "holds an empty dict, not a StyleGAN2 model"),
        (pickle.dumps({"a": 1, "b\x1b[2J": 2}), r"holds a dict with the keys a, b\x1b[2J, not a StyleGAN2 model"),
        (pickle.dumps(dict.fromkeys("abcdefg")), "with the keys a, b, c, d, e, ..., not"),
        (pickle.dumps(collections.OrderedDict(a=1), 0), "with the keys a, not"),
        (pickle.dumps(torch.device("cpu")), "holds a torch.device, not"),
        (pickle.dumps({"a": 1}) + b"more", "something follows behind its end"),
        (pickle.dumps({"format": "sgtool", "version": 1}), "with the keys format, version, not"),
        (pickle.dumps(print), "asks for builtins.print, which is not part of a model"),
        (pickle.dumps(print, 0), "asks for __builtin__.print, which is not part of a model"),
        (b"\x80\x09N.", "protocol 9"),
    ],
)
def test_files_that_are_no_models_get_a_sentence_that_helps(tmp_path, data, words):
    (tmp_path / "model.pkl").write_bytes(data)
    assert words in refusal(tmp_path / "model.pkl")


def test_torchscript_and_other_peoples_objects_are_refused(tmp_path):
    parts = {"m/data.pkl": b"N.", "m/constants.pkl": b"N.", "m/code/__torch__.py": b"", "m/version": b"3"}
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    assert "is a TorchScript program" in refusal(tmp_path / "script.pt")

    class Objects:
        def __reduce__(self):
            return Inert, ()

    torch.save(Objects(), tmp_path / "objects.pt")
    assert "asks for sgtool.snapshots.inert.Inert, an object of a program" in refusal(tmp_path / "objects.pt")


def test_checkpoints_and_newer_files_are_not_taken_for_snapshots(tmp_path):
    for value, words in (
        ({"format": "sgtool", "version": 1, "kind": "checkpoint"}, "is a training checkpoint, not a snapshot"),
        ({"format": "sgtool", "version": 99}, "was written by a newer sgtool"),
        ({"format": "sgtool", "version": 1, "config": torch.device("cpu")}, "holds more than tensors and plain values"),
    ):
        torch.save(value, tmp_path / "x.pkl")
        assert words in refusal(tmp_path / "x.pkl")


def test_folders_and_missing_files_are_told(tmp_path):
    assert "is not a file" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "none.pkl")


def test_golden_files_are_told_by_their_content(golden, tmp_path):
    expected = {
        "snapshot_ada_cond.pkl": "stylegan2-ada-pytorch",
        "snapshot_sg3repo_sg2_uncond.pkl": "stylegan3",
        "snapshot_sg3_t.pkl": "stylegan3",
        "tf_cond.pkl": "tensorflow",
        "rosinality.pt": "rosinality",
        "rosinality_trainer.pt": "rosinality",
    }
    for name, kind in expected.items():
        (tmp_path / "file").write_bytes((golden / name).read_bytes())
        with opened(tmp_path / "file") as contents:
            assert contents.format == kind
            assert contents.networks
