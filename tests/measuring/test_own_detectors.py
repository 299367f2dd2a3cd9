"""A detector of one's own: a discriminator or a graph. Programs are refused."""

import numpy as np
import pytest
import torch

from sgtool import images, snapshots
from sgtool.errors import UserError
from sgtool.measuring.own_detectors import open_own

onnx = pytest.importorskip("onnx")
SHAPE = (3, 16, 16)
PICTURES = torch.from_numpy(np.random.RandomState(0).randint(0, 256, [3, *SHAPE]).astype(np.uint8))


def write_graph(path, kind=onnx.TensorProto.FLOAT, shape=("N", 3, "H", "W"), power=2):
    """A graph that returns the mean of x^power of each channel, `[N, C, 1, 1]`."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", ["img"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Pow", ["x", "power"], ["y"]),
        helper.make_node("GlobalAveragePool", ["y"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("img", kind, shape)],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor("power", onnx.TensorProto.FLOAT, [], [float(power)])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8])
def test_a_graph_sees_levels_and_gives_rows(tmp_path, kind):
    eye = open_own(str(write_graph(tmp_path / "mine.onnx", kind)), SHAPE)
    torch.testing.assert_close(eye.features(PICTURES), PICTURES.float().square().mean(dim=(2, 3)), rtol=1e-5, atol=0)
    assert (eye.name, len(eye.sha256)) == ("onnx", 64)
    assert "mine.onnx" in eye.note


def test_grey_pictures_are_repeated_for_a_graph_of_colour(tmp_path):
    eye = open_own(str(write_graph(tmp_path / "g.onnx")), (1, 16, 16))
    found = eye.features(PICTURES[:, :1])
    assert found.shape == (3, 3)
    assert torch.equal(found[:, 0], found[:, 2])


@pytest.mark.parametrize("shape", [("N", 3, 8, 8), ("N", 1, "H", "W"), (1, 3, "H", "W")])
def test_a_graph_for_other_pictures_is_refused(tmp_path, shape):
    with pytest.raises(UserError, match="the graph takes pictures of .*, and these have 16x16 with 3 channels"):
        open_own(str(write_graph(tmp_path / "g.onnx", shape=shape)), SHAPE)


def test_a_graph_that_takes_no_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"the graph must take one input \[N, C, H, W\]"):
        open_own(str(write_graph(tmp_path / "g.onnx", onnx.TensorProto.DOUBLE)), SHAPE)


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "g.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="is not a graph that onnxruntime can run"):
        open_own(str(tmp_path / "g.onnx"), SHAPE)
    with pytest.raises(UserError, match="there is no such file"):
        open_own(str(tmp_path / "none.onnx"), SHAPE)


@pytest.mark.parametrize("name", ["net.pt", "net.bin"])
def test_a_torchscript_file_is_refused_whatever_its_name(tmp_path, name):
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(UserError, match="a TorchScript file or pickle is a program, .*torch.onnx.export"):
        open_own(str(tmp_path / name), SHAPE)


def test_a_discriminator_gives_the_means_of_its_maps(write_model):
    path = write_model(c_dim=3)
    eye = open_own(f"discriminator:{path}", SHAPE)
    D = snapshots.load(path).D
    with torch.no_grad():
        img = images.to_float(PICTURES)
        x, _ = D.b16(None, img)
        expected = [x.mean(dim=(2, 3)), D.b8(x, None)[0].mean(dim=(2, 3))]
    torch.testing.assert_close(eye.features(PICTURES), torch.cat(expected, dim=1))
    alone = torch.cat([eye.features(PICTURES[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, eye.features(PICTURES), rtol=1e-4, atol=1e-5)


def test_a_discriminator_of_another_size_or_none_is_refused(write_model, tmp_path):
    with pytest.raises(UserError, match="it looks at pictures of 16x16 with 3 channels, and these have 16x16 with 1 channel"):
        open_own(f"discriminator:{write_model()}", (1, 16, 16))
    snapshots.save(snapshots.Snapshot(snapshots.load(write_model("b.pkl")).G_ema), tmp_path / "bare.pkl")
    with pytest.raises(UserError, match="the file holds no discriminator"):
        open_own(f"discriminator:{tmp_path / 'bare.pkl'}", SHAPE)
