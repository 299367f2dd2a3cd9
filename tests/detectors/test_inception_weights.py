"""Files of Inception-v3: every published layout gives the same network, and what is something else is refused in words."""

import hashlib
from types import SimpleNamespace

import pytest
import torch
from inception_files import graph_name, program

from sgtool.detectors import InceptionV3, find_inception, inception_layouts, load_inception
from sgtool.detectors.inception_layouts import LAYOUTS, fold, state_of
from sgtool.errors import UserError

JIT = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's, of the program that makes the file


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def shapes():
    """An `InceptionV3` without numbers."""
    with torch.device("meta"):
        return InceptionV3()


def held(state):
    """Tensors as a file holds them."""
    return {
        name: SimpleNamespace(dtype=tensor.dtype, shape=tuple(tensor.shape), tensor=lambda tensor=tensor: tensor)
        for name, tensor in state.items()
    }


def refusal(state, shapes):
    with pytest.raises(UserError) as caught:
        state_of("some.pth", held(state), shapes)
    assert caught.value.message.startswith("some.pth")
    return caught.value.message


def same(ours, other):
    for name, tensor in ours.state_dict().items():
        assert (tensor - other.state_dict()[name]).abs().max() <= 1e-6 * tensor.abs().max()


@JIT
def test_nvidias_archive_gives_the_same_network_and_its_program_is_not_run(tmp_path, inception, inception_state, monkeypatch):
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.save(torch.jit.script(program(inception_state)), path)
    monkeypatch.setattr(torch.jit, "load", None)
    monkeypatch.setattr(torch, "load", None)
    network, note = load_inception(path)
    same(network, inception)
    assert "no file that sgtool knows" in note
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_names_of_the_graph_are_those_of_its_program():
    theirs = dict(zip(LAYOUTS["torchvision"].convs, LAYOUTS["the graph"].convs, strict=True))
    assert theirs["Mixed_7b_branch3x3dbl_3b"] == "mixed_9_tower_1_mixed_conv_1"
    assert theirs["Mixed_6a_branch3x3"] == "mixed_3_conv"
    for name, graph in theirs.items():
        step = name if name.startswith("Conv2d") else name[:8] + "." + name[9:]
        assert graph_name(step).removeprefix("layers.").replace(".", "_") == graph


@pytest.mark.parametrize("wrap", ["module.{}", "model.inception.{}", "module/{}"])
def test_names_of_modules_around_the_network_do_not_matter(inception_state, inception, shapes, wrap):
    state = {wrap.format(name): tensor for name, tensor in inception_state.items()}
    ours = state_of("some.pth", held(state), shapes)
    assert torch.equal(ours["stem.0.weight"], inception.stem[0].weight)
    assert ours.keys() == inception.state_dict().keys()


def test_half_precision_weights_become_float32(inception_state, shapes):
    ours = state_of("some.pth", held({name: x.half() for name, x in inception_state.items()}), shapes)
    assert {tensor.dtype for tensor in ours.values()} == {torch.float32}
    assert torch.equal(ours["output.weight"], inception_state["fc.weight"].half().float())


def test_folding_is_the_batch_normalization_of_its_definition():
    torch.manual_seed(0)
    weight, beta, mean, gamma, variance = torch.randn(4, 3, 3, 3), *torch.randn(3, 4), torch.rand(4)
    x = torch.randn(2, 3, 5, 5)
    y = torch.nn.functional.conv2d(x, weight)
    for scale in (gamma, None):
        expected = torch.nn.functional.batch_norm(y, mean, variance, scale, beta, eps=1e-3)
        torch.testing.assert_close(torch.nn.functional.conv2d(x, *fold(weight, beta, mean, variance, scale)), expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fc.weight": torch.zeros(1000, 2048)}, "is another Inception-v3, with 1000 classes (as torchvision's)"),
        ({"fc.weight": None}, "does not hold all of Inception-v3: there is no fc_weight"),
        ({"Mixed_7c.branch_pool.conv.weight": None}, "does not hold Inception-v3. Give weights"),
        ({"Mixed_6b.branch7x7_2.bn.running_var": None}, "there is no Mixed_6b_branch7x7_2_bn_running_var"),
        (
            {"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 1, 3, 3)},
            "3x3.conv.weight is [32, 1, 3, 3], not [32, 3, 3, 3]",
        ),
        ({"Mixed_5b.branch1x1.bn.bias": torch.full([64], float("nan"))}, "bn.bias has numbers that are not finite"),
        ({"Mixed_5b.branch1x1.bn.bias": torch.zeros(64, dtype=torch.int64)}, "is of the type torch.int64"),
        ({"Mixed_5b.branch1x1.bn.running_var": -torch.ones(64)}, "the variance of Mixed_5b_branch1x1 is negative"),
    ],
    ids=["torchvision", "no output", "a part", "no variance", "grey", "NaN", "integers", "negative"],
)
def test_weights_of_another_network_are_refused(inception_state, shapes, changes, said):
    state = {name: tensor for name, tensor in {**inception_state, **changes}.items() if tensor is not None}
    assert said in refusal(state, shapes)


def test_vgg16_is_not_inception(network_file):
    with pytest.raises(UserError, match="does not hold Inception-v3. Give weights of Inception-v3, such as pt_inception"):
        load_inception(network_file)


def test_a_truncated_or_changed_file_is_refused(tmp_path, inception_file):
    data = inception_file.read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.pth"):
        load_inception(cut)
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    cut.write_bytes(changed)
    with pytest.raises(UserError, match=r"cut\.pth is damaged"):
        load_inception(cut)


def test_a_name_that_ends_in_a_sha256_is_held_against_the_file(tmp_path):
    wrong = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    wrong.write_bytes(b"something")
    begin = hashlib.sha256(b"something").hexdigest()[:8]
    with pytest.raises(UserError, match=f"not what its name says: its SHA-256 begins with {begin}, not 6726825d"):
        load_inception(wrong)


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    import os

    class Bad:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "bad.pth"
    torch.save({"Mixed_7c.branch_pool.conv.weight": Bad()}, path)
    with pytest.raises(UserError, match="system"):
        load_inception(path)
    assert not (tmp_path / "ran").exists()


def test_missing_weights_name_the_command_that_fetches_them(cache, tmp_path):
    with pytest.raises(UserError, match="are not in .*weights. Run: sgtool weights --fetch inception .96 MB., or"):
        find_inception()
    with pytest.raises(UserError, match="is not a file. Give weights of Inception-v3"):
        find_inception(tmp_path / "none.pt")
    with pytest.raises(UserError, match="is not a file"):
        find_inception(tmp_path)


def test_the_cache_is_searched_best_first(cache, tmp_path):
    for name in ("inception.pth", "inception-2015-12-05.pt", "weights-inception-2015-12-05-6726825d.pth"):
        (cache / name).touch()
        assert find_inception() == cache / name
    mine = tmp_path / "mine.pt"
    mine.touch()
    assert find_inception(mine) == mine
    assert inception_layouts.WANTED.startswith("weights of Inception-v3")
