"""Path lengths of a model: its paths, its noise, its numbers."""

import numpy as np
import pytest
import torch

from sgtool.errors import UserError
from sgtool.latents import latents_of_seeds
from sgtool.latents.model import open_model
from sgtool.measuring.detector import Detector
from sgtool.measuring.paths import _noise_seed, _where_float64_is, measured_paths
from sgtool.measuring.pictures import Made
from sgtool.measuring.protocols import parse
from sgtool.metrics import path_length, path_length_distances
from sgtool.networks import set_precision
from sgtool.networks.layers import Block

EYE = Detector("lpips", "0", "", lambda img: torch.nn.functional.avg_pool2d(img, 2).flatten(1) / 255)


@pytest.mark.parametrize("name", ["ppl2_wend6", "ppl_zfull6"])
def test_path_length_is_that_of_paths_between_seeds(model, name):
    protocol = parse(name)
    found = measured_paths(protocol, Made(model, first_seed=7), EYE, seed=3)
    z = latents_of_seeds(range(7, 19), 16)
    noise = torch.Generator().manual_seed(_noise_seed(3, 0))
    t = np.random.RandomState(3).rand(6)
    expected = path_length_distances(model.G, EYE.features, z, t=t, noise=noise, **protocol.settings)
    assert found.values[name] == pytest.approx(path_length(expected), rel=1e-3)
    low, high = found.intervals[name]
    assert low < found.values[name] < high


def test_a_linear_generator_of_twice_the_scale_has_four_times_the_length(model):
    protocol = parse("ppl2_wend20")
    before = measured_paths(protocol, Made(model), EYE).values["ppl2_wend20"]
    torgb = [module for name, module in model.G.synthesis.named_modules() if name.endswith("torgb")]
    for layer in torgb:
        layer.weight.data *= 2
        layer.bias.data *= 2
    assert measured_paths(protocol, Made(model), EYE).values["ppl2_wend20"] == pytest.approx(4 * before, rel=0.02)


def test_pictures_without_a_middle_cannot_be_cropped(write_model):
    made = Made(open_model(write_model(size=4)))
    with pytest.raises(UserError, match="ppl_wend5 looks at the middle of pictures, and 4 pixels have none. Use ppl2_wend"):
        measured_paths(parse("ppl_wend5"), made, EYE)


def test_a_network_that_diverged_is_told_of(model):
    model.G.synthesis.b4.const.data.fill_(float("nan"))
    with pytest.raises(UserError, match="path lengths are not finite"):
        measured_paths(parse("ppl2_wend2"), Made(model), EYE)


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_a_model_in_half_precision_is_measured_in_full_and_left_as_it_was(write_model, precision):
    model = open_model(write_model())
    expected = measured_paths(parse("ppl2_wend3"), Made(model), EYE)
    blocks = [module for module in model.G.modules() if isinstance(module, Block)]
    for block in blocks:
        block.use_fp16 = True
    set_precision(model.G, precision)
    before = [block.half_type for block in blocks]
    found = measured_paths(parse("ppl2_wend3"), Made(model), EYE)
    assert found.values == expected.values
    assert found.settings["precision"] == "fp32"
    assert [block.half_type for block in blocks] == before


def test_features_of_a_device_without_float64_are_brought_to_the_cpu():
    class OnMps:
        def cpu(self):
            return "on the CPU"

    assert _where_float64_is(lambda img: OnMps(), torch.device("mps"))(None) == "on the CPU"
    assert _where_float64_is(EYE.features, torch.device("cuda")) is EYE.features
