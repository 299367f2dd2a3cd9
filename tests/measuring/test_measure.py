"""A model measured against data, from request to files."""

import json
import sys

import numpy as np
import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.latents.model import open_model
from sgtool.measuring import Request, measure
from sgtool.measuring.own_detectors import open_own
from sgtool.measuring.pictures import Made
from sgtool.metrics import frechet_distance_of, kernel_distance, sliced_wasserstein

SHAPE = (3, 16, 16)


@pytest.fixture
def sets(write_model, write_pictures):
    """A model, data, and the detector that both can be looked at with."""
    network, data = write_model(), write_pictures("data", 40)
    return {"network": str(network), "data": str(data), "detector": f"discriminator:{network}"}


def values(found):
    return {name: value for result in found for name, value in result.measured.values.items()}


def made_and_real(sets, number):
    made, data = Made(open_model(sets["network"])).batch(np.arange(number)), open_dataset(sets["data"])
    return made, data.batch(np.arange(len(data)))


def test_the_numbers_are_those_of_the_functions(sets):
    found, paths = measure(Request(metrics="fid64_full,kid64_full,swd20", **sets))
    made, real = made_and_real(sets, 64)
    eye = open_own(sets["detector"], SHAPE)
    rows = [eye.features(torch.from_numpy(pictures)).numpy() for pictures in (real, made)]
    order = np.sort(np.random.RandomState(0).permutation(40)[:20])
    assert values(found) == {
        "fid64_full-discriminator": pytest.approx(frechet_distance_of(*rows), rel=1e-5),
        "kid64_full-discriminator": pytest.approx(kernel_distance(*rows, subset_size=40), rel=1e-5),
        "swd20": pytest.approx(sliced_wasserstein(real[order], made[:20])),
    }
    assert paths == []


def test_a_second_measurement_is_the_same_and_takes_the_real_pictures_from_the_cache(sets, monkeypatch):
    first = values(measure(Request(metrics="fid64_full,pr16_3", **sets))[0])
    looked = []
    measuring = sys.modules["sgtool.measuring.work"]
    keep = measuring.gather

    def gather(source, needs, **options):
        looked.append(type(source).__name__)
        if not isinstance(source, Made):
            monkeypatch.setattr(source, "batch", None)  # nothing is read
        return keep(source, needs, **options)

    monkeypatch.setattr(measuring, "gather", gather)
    assert values(measure(Request(metrics="fid64_full,pr16_3", **sets))[0]) == first
    assert looked == ["Stored", "Made"]


def test_pictures_against_themselves_are_at_no_distance(write_pictures, write_model):
    data = str(write_pictures("data", 40))
    request = Request(pictures=data, data=data, metrics="fid40_full,pr40_3,swd40", detector=f"discriminator:{write_model()}")
    found = values(measure(request)[0])
    assert found["fid40_full-discriminator"] == pytest.approx(0, abs=1e-6)
    assert found["swd40"] == 0
    assert found["pr40_3-discriminator_precision"] == found["pr40_3-discriminator_recall"] == 1


def test_pictures_that_change_more_are_farther_away(write_pictures, write_model):
    data, detector = str(write_pictures("data", 60)), f"discriminator:{write_model()}"
    distances = []
    for shift in (0, 30, 60):
        pictures = str(write_pictures(f"shift{shift}", 60, seed=1, shift=shift))
        distances += values(measure(Request(pictures=pictures, data=data, metrics="fid60_full", detector=detector))[0]).values()
    assert distances[0] < distances[1] < distances[2]


def test_repeats_are_other_pictures_and_tell_the_spread(sets):
    (result,), _ = measure(Request(metrics="fid32_full", repeats=3, **sets))
    each = [repeat["fid32_full-discriminator"] for repeat in result.repeats]
    assert len(set(each)) == 3
    assert result.measured.values["fid32_full-discriminator"] == pytest.approx(np.mean(each))
    assert result.about["first_seeds"] == [0, 32, 64]
    alone, _ = measure(Request(metrics="fid32_full", **sets))
    assert values(alone)["fid32_full-discriminator"] == each[0]


def test_a_line_says_everything_that_decided_the_number(sets, tmp_path):
    _, paths = measure(Request(metrics="kid64_full", outdir=str(tmp_path / "out"), seed=5, **sets))
    assert paths == [tmp_path / "out" / "metric-kid64_full-discriminator.jsonl"]
    line = json.loads(paths[0].read_text())
    assert (line["metric"], line["snapshot_pkl"]) == ("kid64_full-discriminator", "model.pkl")
    protocol = line["protocol"]
    expected = {
        "generated": 64, "real": 40, "mirror": False, "seed": 5, "first_seeds": [5], "truncation_psi": 1, "noise_mode": "random",
        "precision": "float32", "labels": None, "batch": 32, "settings": {"subset_size": 40, "num_subsets": 100},
    }  # fmt: skip
    assert {key: protocol[key] for key in expected} == expected
    assert protocol["detector"]["name"] == "discriminator"
    assert len(protocol["detector"]["sha256"]) == len(protocol["network_sha256"]) == 64
    assert protocol["data"]["pictures"] == 40
    assert set(protocol["versions"]) == {"sgtool", "torch", "numpy", "python"}


def test_memorization_shows_the_copies(write_pictures, write_model, tmp_path):
    data, unseen = str(write_pictures("data", 40)), str(write_pictures("unseen", 30, seed=1))
    request = Request(
        pictures=data, data=data, held_out=unseen, metrics="memorization20", detector=f"discriminator:{write_model()}",
        outdir=str(tmp_path / "out"),
    )  # fmt: skip
    found, paths = measure(request)
    assert found[0].measured.values["memorization20-discriminator_copying"] < -3
    assert found[0].measured.values["memorization20-discriminator_near_share"] == 1
    assert [path.name for path in paths] == ["metric-memorization20-discriminator.jsonl", "memorization20-discriminator.png"]
    assert json.loads(paths[0].read_text())["protocol"]["held_out"]["name"] == "unseen"


def test_a_model_with_classes_is_measured(write_model, write_pictures):
    network, data = str(write_model(c_dim=3)), str(write_pictures("data", 12, labels=3))
    found, _ = measure(Request(network=network, data=data, metrics="msssim20"))
    assert 0 <= found[0].measured.values["msssim20"] <= 1
    assert found[0].about["labels"] == "drawn from the data"


def test_what_a_metric_refuses_names_the_metric(sets, write_pictures):
    tiny = str(write_pictures("tiny", 12, size=4))
    with pytest.raises(UserError, match="swd12: pictures of 4x4 pixels are too small"):
        measure(Request(pictures=tiny, data=tiny, metrics="swd12"))
    with pytest.raises(UserError, match="--repeats 0"):
        measure(Request(metrics="swd8", repeats=0, **sets))
