"""TorchScript archives: real ones give their tensors by name; hostile ones ask for nothing that is not in the list."""

import io
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

from sgtool.errors import UserError
from sgtool.snapshots.inert import Unlisted
from sgtool.snapshots.script_file import read, recognise, tensors_in
from sgtool.snapshots.spans import Refused, Span, Stored
from sgtool.snapshots.tensor_files import opened_tensors

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's, of the programs that make these files


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.names: list[str] = ["a", "b"]
        self.sizes: list[int] = [1, 2]
        self.shares: list[float] = [0.5]
        self.flags: list[bool] = [True]
        self.table: dict[str, int] = {"a": 1}
        self.tensors = [torch.rand(2), torch.rand(3)]
        self.register_buffer("scale", torch.rand(4).double())

    def forward(self, x):
        return x * self.scale.float()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.Linear(4, 4), Part())
        self.shared = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).mean(dim=(2, 3)))


def archive(program, **options):
    file = io.BytesIO()
    torch.jit.save(program, file, **options)
    return file.getvalue()


def span(data):
    return Span(io.BytesIO(data), 0, len(data))


def refusal(data):
    with pytest.raises(Refused) as caught:
        read(span(data))
    return str(caught.value)


@pytest.fixture(scope="module")
def net():
    return Net().eval()


@pytest.fixture(scope="module")
def scripted(net):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        return archive(torch.jit.script(net), _extra_files={"about.json": "{}" * 5000})


def rewritten(data, changes):
    """The archive with members replaced, added, or left out if None: {"data.pkl": bytes}."""
    members, file = dict(changes), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        folder = old.namelist()[0].split("/")[0]
        for info in old.infolist():
            name = info.filename.split("/", 1)[1]
            content = members.pop(name, old.read(info))
            if content is not None:
                new.writestr(f"{folder}/{name}", content, info.compress_type)
        for name, content in members.items():
            new.writestr(f"{folder}/{name}", content)
    return file.getvalue()


def test_a_scripted_module_gives_every_tensor_of_its_state_under_its_name(net, scripted):
    assert recognise(span(scripted))
    found = read(span(scripted))
    expected = {
        **net.state_dict(),
        "second.2.tensors.0": net.second[2].tensors[0],
        "second.2.tensors.1": net.second[2].tensors[1],
    }
    expected.pop("shared")  # the same tensor as first.weight: it may have either name
    for name, tensor in expected.items():
        assert torch.equal(found.get(name, found.get("shared")).tensor(), tensor), name
    assert all(isinstance(stored, Stored) for stored in found.values())


def test_a_traced_module_gives_the_same(net):
    found = read(span(archive(torch.jit.trace(net, torch.zeros(1, 3, 5, 5)))))
    assert torch.equal(found["second.1.weight"].tensor(), net.second[1].weight)
    assert torch.equal(found["second.2.scale"].tensor(), net.second[2].scale)


def test_a_frozen_module_gives_its_constants_in_order(net):
    found = read(span(archive(torch.jit.freeze(torch.jit.trace(net, torch.zeros(1, 3, 5, 5))))))
    assert all(name.startswith("constants.") for name in found)
    shapes = [stored.shape for stored in found.values()]
    assert shapes.index((4, 3, 3, 3)) < shapes.index((4, 4))


def test_nothing_of_torchs_own_reader_is_used(monkeypatch, scripted):
    for module, name in [(torch, "load"), (torch.jit, "load"), (pickle, "loads"), (pickle, "Unpickler")]:
        monkeypatch.setattr(module, name, None)
    assert read(span(scripted))


def test_the_program_is_not_read_however_damaged_it_is(scripted):
    with zipfile.ZipFile(io.BytesIO(scripted)) as file:
        code = next(name.split("/", 1)[1] for name in file.namelist() if name.endswith(".py"))
    whole = rewritten(scripted, {code: b"import os; os.system('echo hello')"})
    assert read(span(whole)).keys() == read(span(scripted)).keys()


class Call:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("function", [os.system, eval, open, __import__], ids=lambda function: function.__name__)
@pytest.mark.parametrize("place", ["data.pkl", "constants.pkl"])
def test_what_could_run_code_is_refused(scripted, function, place):
    data = rewritten(scripted, {place: pickle.dumps(Call(function, "echo hello"), protocol=2)})
    with pytest.raises(Unlisted, match="it could run code"):
        read(span(data))


@pytest.mark.parametrize(
    "name",
    [
        "os\nsystem",
        "torch.jit._pickle\nrestore_type_tag.__globals__",
        "torch.jit._pickle\nos",
        "torch.jit\nload",
        "__torch__.a\nb.c",
        "__torch__x\nNet",
        "__torch__.1a\nNet",
        "__torch__..os\nNet",
        "__torch__.torch os\nsystem",
        "__main__\nNet",
        "__torch__." + "a" * 1000 + "\nNet",
        "collections\nNet",
    ],
)
def test_only_classes_of_the_program_are_let_through(scripted, name):
    data = rewritten(scripted, {"data.pkl": b"\x80\x02c" + name.encode() + b"\n)\x81."})
    assert "it could run code" in refusal(data) or "is damaged" in refusal(data)


def test_a_class_of_the_program_takes_no_values_and_has_no_reserved_attribute(scripted):
    made = b"\x80\x02c__torch__.Net\nNet\n"
    assert "it gives 1 values to __torch__.Net.Net" in refusal(rewritten(scripted, {"data.pkl": made + b"K\x01\x85\x81."}))
    state = b")\x81}X\x09\x00\x00\x00__class__K\x01sb."
    assert "asks to set __class__" in refusal(rewritten(scripted, {"data.pkl": made + state}))
    loop = b")\x81q\x00}X\x01\x00\x00\x00ah\x00sb."
    assert "contains itself" in refusal(rewritten(scripted, {"data.pkl": made + loop}))


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"ctorch.jit._pickle\nbuild_intlist\nK\x01\x85R.", "it makes a list of something that is none"),
        (b"ctorch.jit._pickle\nbuild_intlist\n)R.", "it gives 0 values to torch.jit._pickle.build_intlist"),
        (b"ctorch.jit._pickle\nrestore_type_tag\nK\x01K\x02\x86R.", "it gives a type that is no text"),
    ],
)
def test_helpers_take_what_torch_gives_them_only(scripted, pickled, said):
    assert said in refusal(rewritten(scripted, {"data.pkl": b"\x80\x02" + pickled}))


def test_missing_and_damaged_parts_are_named(scripted):
    assert "its part data.pkl is missing" in refusal(rewritten(scripted, {"data.pkl": None}))
    assert "is missing" in refusal(rewritten(scripted, {"data/0": None}))
    assert "numbers" in refusal(rewritten(scripted, {"data/0": b"\0\0\0\0"}))


def test_a_flipped_bit_in_the_numbers_is_found_and_one_in_the_program_does_not_matter(net, scripted):
    for content, said in [(net.first.weight.detach().numpy().tobytes(), "the checksum of its part"), (b"{}" * 50, None)]:
        flipped = bytearray(scripted)
        flipped[scripted.index(content) + 9] ^= 1
        if said:
            assert said in refusal(bytes(flipped))
        else:
            assert read(span(bytes(flipped)))


def test_other_zips_are_not_recognised(scripted):
    plain = io.BytesIO()
    torch.save({"a": torch.ones(2)}, plain)
    assert not recognise(span(plain.getvalue()))
    assert not recognise(span(b"PK"))
    assert not recognise(span(b"nothing of the kind"))


def test_tensors_of_nested_values_are_named_by_their_way():
    data = io.BytesIO()
    torch.save({"a": [torch.ones(1), {"b": torch.zeros(2)}], "c": 3, "d": ({},)}, data)
    from sgtool.snapshots import torchfile

    assert {name: stored.shape for name, stored in tensors_in(torchfile.read(span(data.getvalue()))).items()} == {
        "a.0": (1,),
        "a.1.b": (2,),
    }


def test_opened_tensors_takes_every_layout_and_refuses_in_words(tmp_path, scripted):
    from safetensors.torch import save_file

    files = {name: tmp_path / name for name in ("script.pt", "saved.pt", "legacy.pt", "a.safetensors", "other.pt")}
    files["script.pt"].write_bytes(scripted)
    torch.save({"a": torch.ones(2)}, files["saved.pt"])
    torch.save({"a": torch.ones(2)}, files["legacy.pt"], _use_new_zipfile_serialization=False)
    save_file({"a": torch.ones(2)}, files["a.safetensors"])
    for name in ("saved.pt", "legacy.pt", "a.safetensors"):
        with opened_tensors(files[name], "weights") as tensors:
            assert torch.equal(tensors["a"].tensor(), torch.ones(2))
    with opened_tensors(files["script.pt"], "weights") as tensors:
        assert "second.1.weight" in tensors
    files["other.pt"].write_bytes(b"x" * 100)
    for path, said in [(files["other.pt"], "is neither a file of torch"), (tmp_path / "none", "does not exist. Give weights")]:
        with pytest.raises(UserError, match=said), opened_tensors(path, "weights"):
            pass
