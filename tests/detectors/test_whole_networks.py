"""Networks that were pickled whole, as the detectors of NVIDIA's StyleGAN3 repository: their tensors are read, nothing is run."""

import os
import pickle
import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from inception_files import Node, program
from torch import nn
from vgg_files import Program, lpips_state, sequential

from sgtool.detectors import load_inception, load_vgg, store
from sgtool.detectors.weights import VGGFiles
from sgtool.errors import UserError
from sgtool.snapshots.tensor_files import opened_tensors

SOURCE = "raise RuntimeError('the source was run')"


@pytest.fixture(scope="module")
def plain():
    """The convolutions of their own: torch.jit leaves marks on those that it compiled."""
    return sequential()


@pytest.fixture
def write_persistent(monkeypatch, tmp_path):
    """Write a module as torch_utils.persistence does: the class's source beside its attributes; layers of torch as they are."""
    persistence = ModuleType("torch_utils.persistence")

    def rebuild(meta):
        raise AssertionError("the pickle was loaded")

    rebuild.__module__, rebuild.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj = rebuild
    monkeypatch.setitem(sys.modules, "torch_utils", ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", persistence)

    class Packer(pickle.Pickler):
        def reducer_override(self, value):
            if type(value) not in (Node, Program):
                return NotImplemented
            about = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": type(value).__name__}
            return rebuild, ({**about, "state": value.__dict__},)

    def write(name, module, protocol=4):
        with open(tmp_path / name, "wb") as file:
            Packer(file, protocol).dump(module)
        return tmp_path / name

    return write


def test_inception_of_the_stylegan3_repository_gives_the_same_network(write_persistent, inception, inception_state):
    module = program(inception_state)
    module.layers.pool0 = nn.MaxPool2d(3, stride=2)
    module.layers.conv.activation = F.relu
    path = write_persistent("inception-2015-12-05.pkl", module)
    network, note = load_inception(path)
    for name, tensor in network.state_dict().items():
        assert (tensor - inception.state_dict()[name]).abs().max() <= 1e-6 * tensor.abs().max()
    assert "no file that sgtool knows" in note


@pytest.mark.parametrize("protocol", [3, 4])
def test_vgg16_of_the_stylegan3_repository_has_the_weights_of_lpips(write_persistent, plain, lins, protocol):
    network, complete, _ = load_vgg(VGGFiles(write_persistent("vgg16.pkl", Program(plain, lins), protocol), None))
    assert complete
    convs = [layer for layer in plain if isinstance(layer, nn.Conv2d)]
    assert all(torch.equal(ours.weight, other.weight) for ours, other in zip(network.convs, convs, strict=True))
    assert all(torch.equal(getattr(network, f"lin{i}"), lin) for i, lin in enumerate(lins))


def test_both_are_imported_by_their_content(write_persistent, monkeypatch, tmp_path, plain, lins):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    target, _ = store.take_in(write_persistent("download", Program(plain, lins)))
    assert target.name == "vgg16.pth"
    assert store.verify("vgg16")[0].good


def test_a_network_that_torch_saved_whole_has_the_names_of_its_state_dict(tmp_path, plain):
    torch.save({"net": plain, "mean": torch.zeros(3)}, tmp_path / "whole.pth")
    with opened_tensors(tmp_path / "whole.pth", "weights") as tensors:
        assert set(tensors) == {f"net.{name}" for name in plain.state_dict()} | {"mean"}


class Call:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("function", [os.system, eval, F.relu, torch.relu, nn.Linear.forward], ids=lambda f: f.__name__)
def test_a_pickle_that_calls_something_is_refused(tmp_path, lins, function):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({**lpips_state(lins), "x": Call(function, f"touch {tmp_path / 'ran'}")}, protocol=4))
    with pytest.raises(UserError, match="it could run code"), opened_tensors(path, "weights"):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["torch.nn.modules.module\nos", "torch.nn.modules\nLinear", "torch.nn.modules.a.b\nLinear", "torch.nn\nLinear",
             "torch.nn.functional\n__builtins__", "torch\nload", "torch.nn.modules.linear\nos.system", "torch._C\nrelu"],
)  # fmt: skip
def test_only_layers_and_functions_of_torch_are_let_through_besides(tmp_path, name):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02}X\x01\x00\x00\x00ac" + name.encode() + b"\ns.")
    with pytest.raises(UserError, match="it could run code"), opened_tensors(path, "weights"):
        pass


def test_a_layer_has_no_reserved_attribute_and_nothing_follows_the_pickle(tmp_path, lins):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}X\x09\x00\x00\x00__class__K\x01sb.")
    with pytest.raises(UserError, match="asks to set __class__"), opened_tensors(path, "weights"):
        pass
    path.write_bytes(pickle.dumps(lpips_state(lins), protocol=4) + b"more")
    with pytest.raises(UserError, match="something follows behind its end"), opened_tensors(path, "weights"):
        pass


def test_a_cut_pickle_is_damaged(write_persistent, plain, lins):
    path = write_persistent("vgg16.pkl", Program(plain, lins))
    data = path.read_bytes()
    for size in (3, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match="vgg16.pkl is damaged"):
            load_vgg(VGGFiles(path, None))


def test_every_other_pickle_is_told_to_hold_something_else(tmp_path):
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps({"a": 1, "b": [None, "text"]}, protocol=4))
    for load in (load_inception, lambda path: load_vgg(VGGFiles(path, None))):
        with pytest.raises(UserError, match="does not hold"):
            load(path)
