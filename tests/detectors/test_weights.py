"""Weights of VGG16 and LPIPS: every published layout comes out the same, and what is something else is refused in words."""

import hashlib
import shutil

import pytest
import torch
from vgg_files import lpips_state, torchvision_state, write_script

from sgtool.detectors import find_vgg, load_vgg
from sgtool.detectors.known import KNOWN, known_as
from sgtool.detectors.weights import VGGFiles, has_channel_weights
from sgtool.errors import UserError

JIT = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's, of the programs that make these files


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def lpips_file(tmp_path, lins):
    path = tmp_path / "vgg.pth"
    torch.save(lpips_state(lins), path)
    return path


def same(network, plain, lins):
    convs = [layer for layer in plain if isinstance(layer, torch.nn.Conv2d)]
    for ours, other in zip(network.convs, convs, strict=True):
        assert torch.equal(ours.weight, other.weight)
        assert torch.equal(ours.bias, other.bias)
    for i, lin in enumerate(lins):
        assert torch.equal(getattr(network, f"lin{i}"), lin)


def refusal(path, lpips=None):
    with pytest.raises(UserError) as caught:
        load_vgg(VGGFiles(path, lpips))
    assert caught.value.message.startswith(str(path)) or str(lpips) in caught.value.message
    return caught.value.message


@JIT
@pytest.mark.parametrize("kind", ["script", "trace", "freeze"])
def test_a_torchscript_archive_gives_its_weights_and_its_code_is_not_run(tmp_path, plain, lins, kind, monkeypatch):
    path = tmp_path / "vgg16.pt"
    write_script(path, plain, lins, kind)
    monkeypatch.setattr(torch.jit, "load", None)
    monkeypatch.setattr(torch, "load", None)
    network, complete, notes = load_vgg(VGGFiles(path, None))
    same(network, plain, lins)
    assert complete
    assert "no file that sgtool knows" in notes[0]
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_torchvisions_state_dict_and_the_weights_of_lpips_are_read_together(network_file, lpips_file, plain, lins):
    network, complete, notes = load_vgg(VGGFiles(network_file, lpips_file))
    same(network, plain, lins)
    assert complete
    assert len(notes) == 2


def test_without_the_weights_of_lpips_all_channels_count_alike(network_file, plain):
    network, complete, _ = load_vgg(VGGFiles(network_file, None))
    same(network, plain, [torch.ones(n) for n in (64, 128, 256, 512, 512)])
    assert not complete


def test_safetensors_of_the_same_names_are_read(tmp_path, plain, lins):
    from safetensors.torch import save_file

    path = tmp_path / "vgg16.safetensors"
    save_file({**torchvision_state(plain), **lpips_state(lins)}, path)
    network, complete, _ = load_vgg(VGGFiles(path, None))
    same(network, plain, lins)
    assert complete


def test_a_state_dict_of_a_whole_lpips_module_is_read(tmp_path, plain, lins):
    convs = [layer.state_dict() for layer in plain if isinstance(layer, torch.nn.Conv2d)]
    nested = {"net": {f"slice{i // 3}": {str(i): state} for i, state in enumerate(convs)}}
    for i, state in enumerate(convs):
        nested["net"].setdefault(f"slice{i // 3}", {})[str(i)] = state
    twice = {f"lins.{i}.model.1.weight": lin.view(1, -1, 1, 1) for i, lin in enumerate(lins)}
    path = tmp_path / "lpips.pth"
    torch.save({**nested, **lpips_state(lins), **twice, "scaling_layer.shift": torch.zeros(1, 3, 1, 1)}, path)
    network, complete, _ = load_vgg(VGGFiles(path, None))
    same(network, plain, lins)
    assert complete


def test_half_precision_weights_become_float32(tmp_path, plain):
    path = tmp_path / "half.pth"
    torch.save({name: tensor.half() for name, tensor in torchvision_state(plain).items()}, path)
    network, _, _ = load_vgg(VGGFiles(path, None))
    assert network.convs[0].weight.dtype == torch.float32
    assert torch.equal(network.convs[0].weight, plain[0].weight.half().float())


def test_the_cache_is_searched_best_first_and_lpips_beside_the_network(cache, tmp_path):
    assert find_vgg() is None
    (cache / "vgg.pth").touch()
    assert find_vgg() is None
    (cache / "vgg16-397923af.pth").touch()
    assert find_vgg() == (cache / "vgg16-397923af.pth", cache / "vgg.pth")
    (cache / "vgg16.pt").touch()
    assert find_vgg().network == cache / "vgg16.pt"
    mine = tmp_path / "mine.pth"
    mine.touch()
    assert find_vgg(mine) == (mine, cache / "vgg.pth")
    (tmp_path / "vgg_lpips.pth").touch()
    assert find_vgg(mine) == (mine, tmp_path / "vgg_lpips.pth")


def test_a_file_that_is_not_there_is_named(cache, tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(UserError, match="is not a file. Give a file of VGG16 weights"):
            find_vgg(path)


def test_a_name_that_ends_in_a_sha256_is_held_against_the_file(tmp_path, network_file):
    wrong = tmp_path / "vgg16-397923af.pth"
    shutil.copy(network_file, wrong)
    assert "is not what its name says: its SHA-256 begins with" in refusal(wrong)
    digest = hashlib.sha256(network_file.read_bytes()).hexdigest()
    right = tmp_path / f"vgg16-{digest[:8]}.pth"
    wrong.rename(right)
    assert load_vgg(VGGFiles(right, None))[2] == [f"{right} is no file that sgtool knows (SHA-256 {digest[:8]}...)."]


def test_a_published_file_is_called_by_its_name(tmp_path, monkeypatch):
    path = tmp_path / "some.pt"
    path.write_bytes(b"x")
    row = KNOWN["vgg16-nvidia"]._replace(sha256=hashlib.sha256(b"x").hexdigest())
    monkeypatch.setitem(KNOWN, "vgg16-nvidia", row)
    assert known_as(path).startswith(f"{path} is NVIDIA's vgg16.pt (SHA-256 2d711642")


def test_torchs_own_hash_is_the_one_in_the_names_of_the_files():
    assert KNOWN["vgg16"].sha256.startswith("397923af")
    assert KNOWN["vgg16"].file == "vgg16-397923af.pth"
    assert KNOWN["inception"].sha256.startswith("6726825d")
    assert KNOWN["inception"].file == "pt_inception-2015-12-05-6726825d.pth"


def changed(plain, **changes):
    """The state, in the smallest type, with some tensors replaced, or left out if None."""
    state = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in torchvision_state(plain).items()}
    state |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features__28__weight": None}, "does not hold the 13 convolutions of VGG16"),
        ({"features__30__weight": torch.zeros(512, 512, 3, 3)}, "does not hold the 13 convolutions of VGG16"),
        ({"features__0__weight": torch.zeros(64, 1, 3, 3)}, "does not hold the 13 convolutions of VGG16"),
        ({"features__1__running_mean": torch.zeros(64)}, "without batch normalization"),
        ({"features__28__bias": None}, "has no bias for its convolution features.28.weight"),
        ({"features__28__bias": torch.zeros(511)}, "has no bias for its convolution features.28.weight"),
        ({"features__0__bias": torch.full([64], float("nan"))}, "features.0.bias has numbers that are not finite"),
        ({"features__0__bias": torch.zeros(64, dtype=torch.int64)}, "features.0.bias is of the type torch.int64"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, plain, changes, said):
    path = tmp_path / "other.pth"
    torch.save(changed(plain, **changes), path)
    assert said in refusal(path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, "holds no weights of LPIPS for VGG16"),
        ({f"lin{i}": torch.ones(n) for i, n in enumerate((64, 192, 384, 256, 256))}, "holds no weights of LPIPS for VGG16"),
        ({f"lin{i}": -torch.ones(n) for i, n in enumerate((64, 128, 256, 512, 512))}, "has negative weights of channels"),
    ],
    ids=["one", "of AlexNet", "negative"],
)
def test_other_weights_of_channels_are_refused(tmp_path, network_file, state, said):
    path = tmp_path / "vgg.pth"
    torch.save(state, path)
    assert said in refusal(network_file, path)


def test_files_that_are_no_weights_are_refused(tmp_path, network_file):
    path = tmp_path / "vgg16.pt"
    for data, said in [
        (b"", "is empty"),
        (b"<html>not found</html>" * 10, "is neither a file of torch nor of safetensors. Give a file of VGG16 weights"),
        (network_file.read_bytes()[:-100_000], "is damaged: cut short"),
        (b"cos\nsystem\n(S'echo hello'\ntR.", "is neither a file of torch nor of safetensors"),
    ]:
        path.write_bytes(data)
        assert said in refusal(path)


def test_a_flipped_bit_is_found(tmp_path, network_file):
    data = bytearray(network_file.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "vgg16.pth"
    path.write_bytes(data)
    assert "the checksum of its part" in refusal(path)


def test_names_with_thousands_of_digits_and_odd_characters_are_names(tmp_path, plain, network_file):
    path = tmp_path / "odd.pth"
    torch.save({"x" + "1" * 5000: torch.zeros(3), **torchvision_state(plain), "y\x1b[31m0": torch.zeros(2)}, path)
    assert torch.equal(load_vgg(VGGFiles(path, None))[0].convs[12].bias, plain[28].bias)
    torch.save({"\x1b[31m." + name: tensor * float("nan") for name, tensor in torchvision_state(plain).items()}, path)
    assert "\x1b" not in refusal(path)


def test_whether_the_weights_of_channels_are_there_is_told_without_reading_them(tmp_path, plain, lins, network_file, lpips_file):
    assert not has_channel_weights(VGGFiles(network_file, None))
    assert has_channel_weights(VGGFiles(network_file, lpips_file))
    path = tmp_path / "both.pth"
    torch.save({**torchvision_state(plain), **lpips_state(lins)}, path)
    assert has_channel_weights(VGGFiles(path, None))


@JIT
@pytest.mark.parametrize("kind", ["script", "freeze"])
def test_a_program_tells_whether_it_has_the_weights_of_channels(tmp_path, plain, lins, kind):
    write_script(tmp_path / "vgg16.pt", plain, lins, kind)
    assert has_channel_weights(VGGFiles(tmp_path / "vgg16.pt", None))
