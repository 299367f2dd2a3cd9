"""Snapshots: networks come back as they were, and files that lie about them are refused before they cost anything."""

import copy
import hashlib

import pytest
import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot, find, load, network_hash, save

SIZES = {"channel_base": 128, "channel_max": 8}
GENERATOR = {
    "z_dim": 8,
    "c_dim": 3,
    "w_dim": 8,
    "img_resolution": 16,
    "img_channels": 1,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": SIZES,
}


def small_snapshot(**changes):
    torch.manual_seed(0)
    settings = GENERATOR | changes
    G, G_ema = build_generator(**settings), build_generator(**settings)
    D = build_discriminator(**{key: settings[key] for key in ("c_dim", "img_resolution", "img_channels")}, **SIZES)
    return Snapshot(G_ema, G, D, 0.25, 12_000, {"batch": 4, "betas": (0, 0.99)}, {"class_names": ["a", "b", "c"]})


@pytest.fixture
def file(tmp_path):
    """A written snapshot."""
    save(small_snapshot(), tmp_path / "network-snapshot-000012.pkl")
    return tmp_path / "network-snapshot-000012.pkl"


def changed(file, change):
    """Rewrite a snapshot after `change` was applied to its contents."""
    contents = torch.load(file, weights_only=True)
    change(contents)
    torch.save(contents, file)
    return file


@pytest.mark.parametrize("size", [16, [8, 16], 8])
@pytest.mark.parametrize("channels", [1, 4])
def test_networks_come_back_as_they_were(tmp_path, size, channels):
    before = small_snapshot(img_resolution=size, img_channels=channels)
    save(before, tmp_path / "x.pkl")
    after = load(tmp_path / "x.pkl")
    for name in ("G_ema", "G", "D"):
        expected = getattr(before, name).state_dict()
        state = getattr(after, name).state_dict()
        assert list(state) == list(expected)
        assert all(torch.equal(state[key], expected[key]) for key in expected)
    z, c = torch.randn(2, 8), torch.eye(3)[:2]
    before.G_ema.eval()
    assert torch.equal(after.G_ema(z, c, noise_mode="const"), before.G_ema(z, c, noise_mode="const"))


def test_what_is_known_about_the_networks_comes_back(file):
    snapshot = load(str(file))
    assert (snapshot.augment_p, snapshot.nimg, snapshot.origin) == (0.25, 12_000, "sgtool")
    assert snapshot.config == {"batch": 4, "betas": [0, 0.99]}
    assert snapshot.dataset == {"class_names": ["a", "b", "c"]}


def test_loaded_networks_are_for_use_not_for_training(file):
    snapshot = load(file)
    for network in (snapshot.G_ema, snapshot.G, snapshot.D):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_saved_again_a_snapshot_has_the_same_contents(tmp_path, file):
    save(load(file), tmp_path / "again.pkl")
    first, second = (torch.load(path, weights_only=True) for path in (file, tmp_path / "again.pkl"))
    assert first.keys() == second.keys()
    assert first["G"]["init"] == second["G"]["init"]
    assert all(torch.equal(tensor, second["D"]["state"][name]) for name, tensor in first["D"]["state"].items())


def test_file_has_the_documented_layout(file):
    contents = torch.load(file, weights_only=True)
    assert {key: contents[key] for key in ("format", "version", "augment_p", "nimg")} == {
        "format": "sgtool",
        "version": 1,
        "augment_p": 0.25,
        "nimg": 12_000,
    }
    assert set(contents["G_ema"]) == {"init", "state"}
    assert contents["G_ema"]["init"] == GENERATOR
    assert all(tensor.device.type == "cpu" and not tensor.requires_grad for tensor in contents["G_ema"]["state"].values())


def test_saving_leaves_the_networks_alone(tmp_path):
    snapshot = small_snapshot()
    before = copy.deepcopy(snapshot.G.state_dict())
    save(snapshot, tmp_path / "x.pkl")
    assert snapshot.G.training
    assert all(parameter.requires_grad for parameter in snapshot.G.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in snapshot.G.state_dict().items())


def test_loading_draws_no_random_numbers(file):
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    load(file)
    assert torch.equal(torch.randn(3), expected)


def test_generator_alone_is_a_snapshot(tmp_path):
    save(Snapshot(small_snapshot().G_ema), tmp_path / "x.pkl")
    snapshot = load(tmp_path / "x.pkl")
    assert snapshot.G is None
    assert snapshot.D is None
    assert snapshot.nimg == 0


def test_a_folder_means_its_newest_snapshot(tmp_path):
    for name in ("network-snapshot-000200.pkl", "network-snapshot-001000.pkl", "network-snapshot-000400.pkl", "checkpoint.pkl"):
        (tmp_path / name).write_bytes(b"x")
    assert find(tmp_path).name == "network-snapshot-001000.pkl"


def test_hash_is_the_files_sha256(file):
    assert network_hash(file.parent) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_folder_without_snapshots_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no network-snapshot"):
        load(tmp_path)


def test_a_file_without_an_averaged_generator_gives_its_g_and_says_so(file):
    contents = torch.load(file, weights_only=True)
    del contents["G_ema"]
    torch.save(contents, file)
    snapshot = load(file)
    assert torch.equal(snapshot.G_ema.state_dict()["synthesis.b4.const"], contents["G"]["state"]["synthesis.b4.const"])
    assert snapshot.G is None
    assert "no averaged generator" in snapshot.notes[0]


def test_an_unknown_path_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.pkl does not exist"):
        load(tmp_path / "nowhere.pkl")


def _replace(*keys, value):
    def change(contents):
        for key in keys[:-1]:
            contents = contents[key]
        contents[keys[-1]] = value

    return change


def _drop(*keys):
    def change(contents):
        for key in keys[:-1]:
            contents = contents[key]
        del contents[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda contents: [contents.pop(name) for name in ("G_ema", "G")], "holds no generator"),
        (_drop("G_ema", "state", "synthesis.b8.conv0.weight"), "lacks synthesis.b8.conv0.weight"),
        (_replace("G_ema", "state", "surprise", value=torch.zeros(1)), "has an unknown surprise"),
        (_replace("D", "state", "b4.fc.bias", value=torch.zeros(5)), r"D does not fit .* b4.fc.bias is \[5\] float32, not \[8\]"),
        (_replace("D", "state", "b4.fc.bias", value=torch.zeros(8).double()), r"is \[8\] float64, not \[8\] float32"),
        (_replace("G", "state", "mapping.w_avg", value="text"), "G is not a network"),
        (_replace("G", value=[1]), "G is not a network"),
        (_replace("G_ema", "init", "img_resolution", value=32), "does not fit its description"),
        (_replace("G_ema", "init", "img_resolution", value=2**30), "G_ema"),
        (_replace("G_ema", "init", "img_resolution", value=float("nan")), "cannot be built"),
        (_replace("G_ema", "init", "img_resolution", value=-8), "cannot be built"),
        (_replace("G_ema", "init", "img_resolution", value=10**400), "cannot be built"),
        (_replace("G_ema", "init", "img_resolution", value="16"), "cannot be built"),
        (_replace("G_ema", "init", "z_dim", value=2**40), "does not fit its description"),
        (_replace("G_ema", "init", "img_channels", value=2**30), "does not fit its description"),
        (_replace("G_ema", "init", "mapping_kwargs", "num_layers", value=10**9), "more layers than tensors"),
        (_replace("G_ema", "init", "synthesis_kwargs", value={"channel_base": 2**60, "channel_max": 2**60}), "G_ema"),
        (_replace("G_ema", "init", "unknown_keyword", value=1), "cannot be built"),
        (_replace("nimg", value="many"), "nimg is 'many'"),
        (_replace("augment_p", value=None), "augment_p is None"),
        (_replace("config", value=[]), "config is"),
    ],
)
def test_a_file_that_lies_about_its_networks_is_refused(file, change, words):
    with pytest.raises(UserError, match=words) as caught:
        load(changed(file, change))
    assert "\n" not in caught.value.message
    assert file.name in caught.value.message


def test_a_description_that_holds_itself_is_refused(file):
    def change(contents):
        contents["G_ema"]["init"]["mapping_kwargs"]["again"] = contents["G_ema"]["init"]

    with pytest.raises(UserError, match="contains itself"):
        load(changed(file, change))


def test_a_network_of_another_shape_is_told_by_its_tensors(tmp_path, file):
    other = small_snapshot(img_resolution=8)
    with pytest.raises(UserError, match="does not fit its description"):
        load(changed(file, _replace("G_ema", "state", value=dict(other.G_ema.state_dict()))))
