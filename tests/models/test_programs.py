"""G_ema as ONNX and as TorchScript: the same pictures, in programs that do not know sgtool."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sgtool.errors import UserError
from sgtool.models import onnx_file, torchscript
from sgtool.models.program import Pictures
from sgtool.networks import build_generator

SHAPES = {
    "skip": {},
    "resnet, grey, labels, clamp, wide": {
        "architecture": "resnet",
        "img_channels": 1,
        "c_dim": 3,
        "conv_clamp": 0.5,
        "size": [8, 16],
    },
    "orig, transparent, tall": {"architecture": "orig", "img_channels": 4, "size": [32, 16]},
    "half precision, other filter": {"num_fp16_res": 2, "resample_filter": [1, 2, 1], "activation": "swish"},
    "long filter, no noise": {"resample_filter": [1, 2, 3, 4, 4, 3, 2, 1], "use_noise": False, "size": 8},
    "one block": {"size": 4},
    "no average": {"w_avg_beta": None, "size": 8},
}


def generator(size=16, img_channels=3, c_dim=0, w_avg_beta=0.99, **synthesis):
    """A small generator whose biases, noise and average are felt."""
    torch.manual_seed(0)
    G = build_generator(
        z_dim=6,
        c_dim=c_dim,
        w_dim=8,
        img_resolution=size,
        img_channels=img_channels,
        mapping_kwargs={"num_layers": 2, "w_avg_beta": w_avg_beta},
        synthesis_kwargs={"channel_base": 128, "channel_max": 8, **synthesis},
    )
    for name, tensor in G.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):
            tensor.normal_()
    return G.eval().requires_grad_(False)


def expected(G, inputs):
    """The same by the network itself."""
    named = dict(zip(Pictures(G).input_names, inputs, strict=True))
    psi = float(named.get("truncation_psi", 1))
    return G(named["z"], named.get("c"), truncation_psi=psi, noise_mode="const")


def assert_close(result, G, inputs):
    correct = expected(G, inputs)
    assert result.shape == correct.shape
    assert float((result - correct).abs().max()) <= 1e-5 * max(1, float(correct.abs().max()))


@pytest.mark.parametrize("program", [onnx_file, torchscript], ids=["onnx", "torchscript"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pictures_are_the_networks_for_any_batch_and_truncation(one_thread, tmp_path, program, shape):
    G = generator(**shape)
    program.write(G, tmp_path / "g", {})
    for seeds, psi in (([0], 1.0), ([1, 2, 3], 1.0), ([1, 2, 3, 4, 5], 0.5), ([6], 0.0)):
        inputs = Pictures(G).inputs_of_seeds(seeds, psi)
        assert_close(program.run(tmp_path / "g", inputs), G, inputs)


def test_onnx_has_named_inputs_one_opset_and_says_what_it_is(one_thread, tmp_path):
    G = generator(c_dim=2)
    onnx_file.write(G, tmp_path / "g.onnx", {"class_names": ["a", "b"]})
    model = onnx.load(tmp_path / "g.onnx")
    onnx.checker.check_model(model, full_check=True)
    shapes = {place.name: shape_of(place) for place in (*model.graph.input, *model.graph.output)}
    assert shapes == {"z": ["batch", 6], "c": ["batch", 2], "truncation_psi": [], "img": ["batch", 3, 16, 16]}
    assert [(opset.domain, opset.version) for opset in model.opset_import if not opset.domain] == [("", onnx_file.OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert [json.loads(entry.value) for entry in model.metadata_props if entry.key == "sgtool"] == [{"class_names": ["a", "b"]}]
    assert model.producer_name == "sgtool"


def shape_of(place):
    return [size.dim_param or size.dim_value for size in place.type.tensor_type.shape.dim]


def test_an_outside_runtime_runs_the_onnx_file_alone(one_thread, tmp_path):
    G = generator()
    onnx_file.write(G, tmp_path / "g.onnx", {})
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]  # no weights beside it
    session = onnxruntime.InferenceSession((tmp_path / "g.onnx").read_bytes())
    z = np.random.RandomState(7).randn(3, 6).astype(np.float32)
    (img,) = session.run(None, {"z": z, "truncation_psi": np.array(0.7, np.float32)})
    assert_close(torch.from_numpy(img), G, (torch.from_numpy(z), torch.tensor(0.7)))


WITHOUT_SGTOOL = """
import sys, warnings
sys.modules["sgtool"] = None  # importing it fails
warnings.simplefilter("ignore", DeprecationWarning)
import torch
extra = {"sgtool.json": ""}
program = torch.jit.load(sys.argv[1], _extra_files=extra)
torch.manual_seed(1)
pictures = [program(torch.randn(n, 6), torch.eye(3)[[0] * n], torch.tensor(0.7)) for n in (1, 3)]
torch.save({"pictures": pictures, "about": extra["sgtool.json"]}, sys.argv[2])
"""


def test_torchscript_runs_without_sgtool(one_thread, tmp_path):
    G = generator(c_dim=3)
    torchscript.write(G, tmp_path / "g.ts", {"z_dim": 6})
    command = [sys.executable, "-I", "-c", WITHOUT_SGTOOL, tmp_path / "g.ts", tmp_path / "made.pt"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=100)
    made = torch.load(tmp_path / "made.pt", weights_only=True)
    torch.manual_seed(1)
    for n, img in zip((1, 3), made["pictures"], strict=True):
        assert_close(img, G, (torch.randn(n, 6), torch.eye(3)[[0] * n], torch.tensor(0.7)))
    assert json.loads(made["about"]) == {"z_dim": 6}


@pytest.mark.parametrize("program", [onnx_file, torchscript], ids=["onnx", "torchscript"])
def test_no_folder_of_this_machine_is_named_in_the_file(one_thread, tmp_path, program):
    program.write(generator(size=8), tmp_path / "g", {})
    parts = [(tmp_path / "g").read_bytes()]
    if zipfile.is_zipfile(tmp_path / "g"):
        with zipfile.ZipFile(tmp_path / "g") as archive:
            parts = [archive.read(member) for member in archive.infolist()]
    assert not any(word in part for part in parts for word in (b"site-packages", b"models/program.py", str(tmp_path).encode()))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_what_installs_it(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'--to onnx needs the package \w+. Run: pip install "sgtool\[onnx\]"'):
        onnx_file.write(None, tmp_path / "g.onnx", {})


def test_a_network_too_large_for_one_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(UserError, match="2 GB and more does not fit into one ONNX file"):
        onnx_file.write(generator(), tmp_path / "g.onnx", {})


def test_an_exporter_that_gives_up_is_one_sentence(one_thread, monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise torch.onnx.OnnxExporterError("no such operator\nand much more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(UserError, match=r"could not write this network as ONNX \(no such operator\)"):
        onnx_file.write(generator(size=8), tmp_path / "g.onnx", {})
    assert list(tmp_path.iterdir()) == []
