"""Safetensors files: what is written is what the safetensors library reads, and lies in a header cost nothing."""

import json
import struct
import tracemalloc

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot, load, rosinality, safetensors_file
from sgtool.snapshots.infer import ASSUMED

SMALL = {"channel_base": 64, "channel_max": 8}
GENERATOR = {"z_dim": 6, "c_dim": 3, "w_dim": 6, "img_resolution": [16, 12], "img_channels": 4}
UNUSUAL = {
    "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1},
    "synthesis_kwargs": {**SMALL, "conv_clamp": 2, "activation": "relu"},
}


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


def snapshot(**changes):
    torch.manual_seed(0)
    G, G_ema = (build_generator(**GENERATOR | UNUSUAL | changes).eval().requires_grad_(False) for _ in range(2))
    about = {name: getattr(G, name) for name in ("c_dim", "img_resolution", "img_channels")}
    D = build_discriminator(**about, **SMALL, epilogue_kwargs={"mbstd_group_size": 2}).eval()
    return Snapshot(
        G_ema, G, D, 0.25, 12_000, {"batch": 4, "betas": (0, 0.99), "name": "größe"}, {"class_names": ["a", "b", "c"]}
    )


@pytest.fixture
def file(tmp_path):
    """A written file."""
    safetensors_file.write(snapshot(), tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def plain_generator():
    torch.manual_seed(0)
    G = build_generator(z_dim=6, c_dim=0, w_dim=6, img_resolution=8, img_channels=3, synthesis_kwargs=SMALL)
    return G.eval().requires_grad_(False)


def render(G):
    z = torch.randn([3, G.z_dim], generator=torch.Generator().manual_seed(0))
    return G(z, torch.eye(3) if G.c_dim else None, truncation_psi=0.7, noise_mode="const")


def parts(file):
    """Return the header and the data of a file."""
    content = file.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def with_header(file, header, data, size=None):
    """Write a file from a header, a dict or bytes, and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)
    return file


def test_networks_and_all_about_them_come_back(file):
    before, after = snapshot(), load(file)
    assert after.origin == "safetensors"
    assert after.notes == []
    for name in ("G_ema", "G", "D"):
        expected = getattr(before, name).state_dict()
        found = getattr(after, name).state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    img = render(before.G_ema)
    assert torch.equal(render(after.G_ema), img)
    assert torch.equal(after.D(img[:2], torch.eye(3)[:2]), before.D(img[:2], torch.eye(3)[:2]))
    assert (after.augment_p, after.nimg, after.dataset) == (0.25, 12_000, {"class_names": ["a", "b", "c"]})
    assert after.config == {"batch": 4, "betas": [0, 0.99], "name": "größe"}


def test_the_safetensors_library_reads_it(file):
    before = snapshot()
    found = safetensors.torch.load_file(file)
    expected = {
        f"{name}.{key}": value for name in ("G_ema", "G", "D") for key, value in getattr(before, name).state_dict().items()
    }
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    with safe_open(file, "pt") as opened:
        description = json.loads(opened.metadata()["sgtool"])
        assert opened.metadata()["format"] == "pt"
    assert description["version"] == 1
    assert description["networks"]["G_ema"] == before.G_ema.init_kwargs


def test_the_averaged_generator_can_travel_alone(tmp_path):
    before = snapshot()
    safetensors_file.write(before, tmp_path / "g.safetensors", ("G_ema",))
    after = load(tmp_path / "g.safetensors")
    assert after.G is None
    assert after.D is None
    assert torch.equal(render(after.G_ema), render(before.G_ema))
    assert all(name.startswith("G_ema.") for name in safetensors.torch.load_file(tmp_path / "g.safetensors"))


def test_a_file_made_by_the_library_in_half_precision_is_read(file):
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    halves = {name: value.half() for name, value in safetensors.torch.load_file(file).items()}
    safetensors.torch.save_file(halves, file, metadata)
    G = load(file).G_ema
    expected = snapshot().G_ema.state_dict()
    assert all(torch.equal(value, expected[key].half().float()) for key, value in G.state_dict().items())


def test_without_a_description_names_and_shapes_tell_the_networks(tmp_path):
    G, file = plain_generator(), tmp_path / "x.safetensors"
    state = {name: value.contiguous() for name, value in G.state_dict().items()}
    safetensors.torch.save_file(state, file)
    after = load(file)
    assert after.origin == "safetensors"
    assert after.notes == [ASSUMED]
    assert torch.equal(render(after.G_ema), render(G))
    safetensors.torch.save_file({f"G.{name}": value for name, value in state.items()}, file)
    assert torch.equal(render(load(file).G_ema), render(G))


def test_rosinalitys_names_are_known_too(tmp_path):
    G, file = plain_generator(), tmp_path / "x.safetensors"
    rosinality.write(Snapshot(G), tmp_path / "x.pt")
    value = torch.load(tmp_path / "x.pt", weights_only=True)
    flat = {f"g_ema.{name}": tensor for name, tensor in value["g_ema"].items()} | {"latent_avg": value["latent_avg"]}
    for tensors in (flat, value["g_ema"] | {"latent_avg": value["latent_avg"]}):
        safetensors.torch.save_file(tensors, file)
        after = load(file)
        assert after.notes == []
        assert torch.equal(render(after.G_ema), render(G))


def test_other_models_are_refused_by_what_they_hold(tmp_path):
    safetensors.torch.save_file({"unet.\x1b[31m.weight": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"not of a StyleGAN2 model: it holds 'unet\.\\x1b\[31m\.weight'\. Give"):
        load(tmp_path / "x.safetensors")
    safetensors.torch.save_file({}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="it holds nothing"):
        load(tmp_path / "x.safetensors")


def test_an_older_file_stays_when_writing_fails(tmp_path):
    file = tmp_path / "x.safetensors"
    file.write_text("old")
    before = snapshot()
    before.config = {"where": object()}
    with pytest.raises(UserError, match=r"x\.safetensors was not written: safetensors cannot hold the configuration"):
        safetensors_file.write(before, file)
    with pytest.raises(UserError, match="could not be written"):
        safetensors_file.write(snapshot(), tmp_path / "no folder" / "x.safetensors")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_cut_short_anywhere_is_refused(file, tmp_path):
    content = file.read_bytes()
    for size in [0, 1, 7, 8, 9, 100, 1000, len(content) // 2, len(content) - 1]:
        (tmp_path / "short").write_bytes(content[:size])
        with pytest.raises(UserError, match="short "):
            load(tmp_path / "short")
    (tmp_path / "long").write_bytes(content + b"\0")
    with pytest.raises(UserError, match="long is damaged: it has .* bytes of data"):
        load(tmp_path / "long")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_offsets": [0, 4]}, "has 4 bytes, and its shape is"),
        ({"data_offsets": [0, 2**40]}, "has 1099511627776 bytes, and its shape is"),
        ({"data_offsets": [0, 2**40], "shape": [2**38]}, "reaches beyond its end"),
        ({"data_offsets": [-4, 4]}, "does not say where"),
        ({"data_offsets": [8, 4]}, "does not say where"),
        ({"data_offsets": [0]}, "does not say where"),
        ({"data_offsets": "[0, 4]"}, "does not say where"),
        ({"data_offsets": [0.0, 4.0]}, "does not say where"),
        ({"shape": [2**62, 2**62]}, "and its shape is"),
        ({"shape": [-1, -8]}, "does not say where"),
        ({"shape": [True]}, "does not say where"),
        ({"shape": [1] * 100}, "does not say where"),
        ({"shape": None}, "does not say where"),
        ({"dtype": "F8_E4M3"}, "has a tensor of type 'F8_E4M3', which this version of sgtool does not read"),
        ({"dtype": "os.system"}, "has a tensor of type 'os.system'"),
        ({"dtype": 7}, "has a tensor of type '7'"),
        ({"dtype": "F16"}, "bytes, and its shape is"),
    ],
)
def test_a_lie_about_a_tensor_is_refused(file, change, words):
    header, data = parts(file)
    header["G_ema.synthesis.b4.const"] |= change
    with pytest.raises(UserError, match=words):
        load(with_header(file, header, data))


def test_tensors_that_overlap_or_leave_a_gap_are_refused(file):
    header, data = parts(file)
    first, second = [name for name in header if name.endswith("conv1.bias")][:2]
    header[first]["data_offsets"] = header[second]["data_offsets"]
    with pytest.raises(UserError, match="its tensors overlap or leave a gap"):
        load(with_header(file, header, data))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{" + b"[" * 100_000, "its header cannot be read"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "its header cannot be read"),
        (b'{"a": 1, "a": 2}', r"its header cannot be read \(a name is given twice\)"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"its header cannot be read \(a number has too many digits\)"),
        (b'{"a\xff": 1}', "its header cannot be read"),
        (b'{"\\ud800": 1}', "its header cannot be read"),
        ('{"a": 1}'.encode("utf-16"), "is no model file"),
        (b'{"a": NaN}', "does not say where 'a' is"),
        (b'{"a": [1, 2]}', "does not say where 'a' is"),
        (b'{"__metadata__": [1]}', "its metadata are not text"),
        (b'{"__metadata__": {"a": 1}}', "its metadata are not text"),
        (b"{}x", "its header cannot be read"),
    ],
)
def test_a_hostile_header_is_refused_in_a_sentence(tmp_path, text, words):
    file = with_header(tmp_path / "x", text, b"")
    with pytest.raises(UserError, match=words) as refused:
        load(file)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**40])
def test_a_header_longer_than_the_file_is_refused(tmp_path, size):
    with pytest.raises(UserError):
        load(with_header(tmp_path / "x", b"{}" + b" " * 100, b"", size))


def test_a_header_of_megabytes_is_not_read(tmp_path):
    file = with_header(tmp_path / "x", b"{" + b"[" * 5_000_000, b"")
    tracemalloc.start()
    with pytest.raises(UserError, match="has a header of 5,000,001 bytes, which no StyleGAN2 model needs"):
        load(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about: about.update(version=2), "was written by a newer sgtool"),
        (lambda about: about.update(version="1"), "version in its description is of the type str"),
        (lambda about: about.update(networks=[]), "networks in its description is of the type list"),
        (lambda about: about["networks"].update(G_ema=3), "describes a network by no keywords"),
        (lambda about: about["networks"].update(E={}), "describes no network as 'E'"),
        (lambda about: about["networks"].pop("D"), r"'D\.[a-z0-9._]+' belongs to no network"),
        (lambda about: about.update(nimg=1.5), "nimg in its description is of the type float"),
        (lambda about: about.update(augment_p=float("nan")), "augment_p in its description is nan"),
        (lambda about: about.update(config=None), "config in its description is of the type NoneType"),
        (lambda about: about["networks"]["G_ema"].update(z_dim=2**40), "G_ema does not fit its description"),
        (lambda about: about["networks"]["G_ema"].update(img_resolution=2**40), "G_ema cannot be built from its description"),
        (lambda about: about["networks"]["G_ema"].update(os="system"), "G_ema cannot be built from its description"),
        (lambda about: about["networks"]["G_ema"].update(mapping_kwargs={"num_layers": 10**9}), "more layers than tensors"),
        (
            lambda about: about["networks"]["G_ema"]["synthesis_kwargs"].update(activation="os.system"),
            "its option activation is 'os.system'",
        ),
        (lambda about: about["networks"]["G_ema"]["synthesis_kwargs"].update(architecture="orig"), "unknown synthesis"),
        (lambda about: about["networks"].update(G_ema={}), "G_ema cannot be built from its description"),
    ],
)
def test_a_description_that_lies_is_refused(file, change, words):
    header, data = parts(file)
    about = json.loads(header["__metadata__"]["sgtool"])
    change(about)
    header["__metadata__"]["sgtool"] = json.dumps(about)
    with pytest.raises(UserError, match=words):
        load(with_header(file, header, data))


@pytest.mark.parametrize(
    "text", ["", "[" * 10_000, "[1]", "null", '{"version": 1, "version": 1}', '{"config": ' + "[" * 100 + "]" * 100 + "}"]
)
def test_a_description_that_is_no_object_is_refused(file, text):
    header, data = parts(file)
    header["__metadata__"]["sgtool"] = text
    with pytest.raises(UserError, match="is damaged: "):
        load(with_header(file, header, data))
