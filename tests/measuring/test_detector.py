"""Published detectors: found or asked for by command, and their numbers those of the networks they are."""

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool.detectors import VGG16
from sgtool.detectors.inception import InceptionV3
from sgtool.detectors.weights import VGGFiles
from sgtool.errors import UserError
from sgtool.measuring import detector
from sgtool.metrics.rows import full_precision


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("inception", "--fetch inception"),
        ("inception-clean", "--fetch inception"),
        ("vgg16", "--fetch vgg16"),
        ("lpips", "lpips"),
    ],
)
def test_weights_that_are_not_there_are_named_with_the_command_that_fetches_them(kind, command):
    with pytest.raises(UserError, match=f"The weights of .* are not in .*weights. Run: sgtool weights .*{command}"):
        detector.find(kind)


@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize("kind", ["inception", "vgg16"])
def test_transparent_pictures_are_refused(kind, channels):
    with pytest.raises(UserError, match=f"The pictures have {channels} channels, and .* looks at grey and RGB ones only. Use"):
        detector.load(kind, None, channels)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return InceptionV3().eval().requires_grad_(False).to(memory_format=torch.channels_last)


@pytest.fixture
def load(network, monkeypatch, tmp_path):
    """Load a kind of Inception-v3 with random weights."""
    (tmp_path / "weights").write_bytes(b"weights")
    monkeypatch.setattr(detector, "load_inception", lambda path, device: (network, f"{path} is random."))
    return lambda kind: detector.load(kind, tmp_path / "weights", 3)


PICTURES = torch.from_numpy(np.random.RandomState(0).randint(0, 256, [2, 3, 40, 24]).astype(np.uint8))


def test_inception_sees_levels_and_its_probabilities_have_no_bias(load, network):
    network.output.bias.data.normal_()
    eye = load("inception")
    features = eye.features(PICTURES)
    assert torch.equal(features, network(PICTURES))
    expected = torch.softmax(features @ network.output.weight.T, dim=1)
    torch.testing.assert_close(eye.probabilities(features), expected)
    assert (len(eye.sha256), eye.name) == (64, "inception")


def test_clean_pictures_are_resized_with_antialiasing_before_inception_sees_them(load, network):
    resized = torch.stack(
        [torch.stack([torch.from_numpy(np.array(plain(channel))) for channel in picture.numpy()]) for picture in PICTURES]
    )
    assert torch.equal(load("inception-clean").features(PICTURES), network(resized))
    assert load("inception-clean").name == "inception-clean"


def plain(channel):
    return Image.fromarray(channel.astype(np.float32), mode=None).resize((299, 299), Image.Resampling.BICUBIC)


def test_a_smooth_picture_made_smaller_cleanly_keeps_its_mean():
    stripes = torch.zeros(1, 1, 600, 600, dtype=torch.uint8)
    stripes[..., ::2] = 255
    assert detector.cleanly_resized(stripes)[..., 5:-5].sub(127.5).abs().max() < 4


def test_computing_leaves_the_gpus_precision_as_it_was(load):
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        load("inception").probabilities(torch.zeros(1, 2048))
        assert torch.backends.cuda.matmul.allow_tf32
        with full_precision():
            assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def test_a_gpus_convolutions_are_exact_while_pictures_are_looked_at(monkeypatch, tmp_path):
    seen = []

    class Eye(torch.nn.Module):
        def forward(self, img):
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic))
            return img.flatten(1)

    (tmp_path / "weights").write_bytes(b"weights")
    monkeypatch.setattr(detector, "load_vgg_features", lambda files, device: (Eye(), "A note."))
    before = torch.backends.cudnn.allow_tf32
    detector.load("vgg16", VGGFiles(tmp_path / "weights", None), 3).features(PICTURES)
    assert seen == [(False, True)]
    assert torch.backends.cudnn.allow_tf32 == before


def test_path_length_without_lpipss_weights_is_refused_when_they_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "vgg16.pth"
    torch.save(VGG16().convs.state_dict(), path)
    with pytest.raises(UserError, match="LPIPS, and its weights of channels are neither in .*vgg16.pth nor beside it"):
        detector.find("lpips")
    assert detector.find("vgg16").network == path
    torch.save({f"lin{i}": torch.ones(n) for i, n in enumerate((64, 128, 256, 512, 512))}, path.with_name("vgg.pth"))
    assert detector.find("lpips").lpips == path.with_name("vgg.pth")


def test_path_length_wants_lpipss_own_weights(monkeypatch, tmp_path):
    path = tmp_path / "vgg16.pth"
    path.write_bytes(b"weights")
    files = detector.find_vgg(path)
    monkeypatch.setattr(detector, "load_vgg", lambda files, device: (VGG16(), False, []))
    with pytest.raises(UserError, match="Path length is measured by LPIPS, .* Run: sgtool weights --fetch lpips"):
        detector.load("lpips", files, 3)
    network = VGG16()
    monkeypatch.setattr(detector, "load_vgg", lambda files, device: (network, True, ["A note."]))
    eye = detector.load("lpips", files, 3)
    img = torch.rand(1, 3, 16, 16) * 255
    assert torch.equal(eye.features(img), network.features(img))
    assert (eye.note, len(eye.sha256)) == ("A note.", 64)
