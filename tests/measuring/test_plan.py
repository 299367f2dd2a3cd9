"""What is missing or does not belong together is told before anything is computed."""

import json

import pytest

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.measuring.measure import Request
from sgtool.measuring.plan import plan_sets

SWD = "swd8"


@pytest.fixture
def plan(write_model, write_pictures):
    """Plan a measurement of a new model and new data, unless told otherwise; `plan.said` and `plan.warned` are lists."""

    def planned(**options):
        options.setdefault("metrics", SWD)
        if "network" not in options and "pictures" not in options:
            options["network"] = str(write_model())
        if "data" not in options:
            options["data"] = str(write_pictures("data"))
        request = Request(**{key: None if value is None else value for key, value in options.items()})
        return plan_sets(request, warn=planned.warned.append, say=planned.said.append)

    planned.said, planned.warned = [], []
    return planned


def refused(plan, text, **options):
    with pytest.raises(UserError, match=text):
        plan(**options)


def test_a_model_and_its_data_are_opened(plan):
    made = plan(metrics="swd8,msssim10k")
    assert made.shape == (3, 16, 16)
    assert [protocol.name for protocol in made.protocols] == ["swd8", "msssim10k"]
    assert made.real_count(made.protocols[0]) == 8
    assert made.fake(1).first_seed == 10_000
    assert made.outdir is None


def test_one_thing_is_measured(plan, write_model):
    refused(plan, "Give one of --network and --pictures", pictures="x", network="y")
    refused(plan, "Give one of --network and --pictures", pictures=None, network=None)


def test_missing_weights_are_told_with_the_command(plan):
    refused(plan, "The weights of Inception-v3 are not in .* sgtool weights --fetch inception", metrics="swd8,fid50k_full")
    refused(plan, "The weights of VGG16 are not in", metrics="ppl2_wend")


def test_without_weights_the_usual_metrics_are_those_that_need_none(plan):
    assert [protocol.name for protocol in plan(metrics=None).protocols] == ["swd12", "msssim10k"]
    assert "sgtool weights --fetch inception" in plan.said[0]
    assert "swd12, which compares with its like only" in plan.said[1]


def test_with_weights_the_usual_metric_is_nvidias(plan, tmp_path):
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    (folder / "inception.pth").write_bytes(b"weights")
    made = plan(metrics=None)
    assert [protocol.name for protocol in made.protocols] == ["fid50k_full"]
    assert made.weights == {"inception": folder / "inception.pth"}


def test_a_detector_of_ones_own_needs_no_weights_and_is_in_the_name(plan, tmp_path):
    made = plan(metrics="fid50k_full,swd8", detector="my net.onnx")
    assert [protocol.name for protocol in made.protocols] == ["fid50k_full-my_net", "swd8"]
    assert made.weights == {}
    for name in ("is50k", "clean_fid"):
        refused(plan, f"--metrics {name} is defined with Inception-v3 only", metrics=name, detector="x.onnx")


def test_data_of_another_size_or_with_other_channels_are_refused(plan, write_pictures):
    for name, options in (("large", {"size": 32}), ("grey", {"channels": 1})):
        data = str(write_pictures(name, **options))
        refused(plan, f"--data .*{name} has pictures of .*, but model.pkl has 16x16 with 3 channels", data=data)
    other = str(write_pictures("other", size=8))
    refused(plan, "--held-out .*other has pictures of 8x8", held_out=other, data=str(write_pictures("d2")))


def test_a_single_picture_is_refused(plan, write_pictures):
    refused(plan, "--data .*one holds a single picture", data=str(write_pictures("one", number=1)))


def test_data_must_be_named_if_the_run_does_not(plan):
    refused(plan, "--data is missing: swd8 compares with real pictures", data=None)


def test_fewer_pictures_than_the_name_says_are_refused_with_the_name_that_fits(plan):
    refused(plan, r"swd16k takes 16,384 pictures, and there are 12. Ask for --metrics swd12, or", metrics="swd16k")


def test_fewer_pictures_if_that_is_allowed_change_the_name(plan, write_pictures):
    pictures = str(write_pictures("made"))
    made = plan(metrics="fid50k_full,swd16k", pictures=pictures, allow_fewer=True, detector="x.onnx")
    assert [protocol.name for protocol in made.protocols] == ["fid12_full-x", "swd12"]
    assert "fid12_full-x, which compares with its like only" in plan.said[0]


def test_too_few_real_pictures_for_a_number_are_refused(plan, write_pictures):
    data = str(write_pictures("three", number=3))
    refused(
        plan, "pr50k3-x needs at least 4 pictures of each kind, and there are 3", metrics="pr50k3", detector="x.onnx", data=data
    )


def test_a_model_with_classes_wants_labelled_data(plan, write_model, write_pictures):
    network = str(write_model("c.pkl", c_dim=3))
    refused(plan, "c.pkl needs labels, and bare has none", network=network, data=str(write_pictures("bare")))
    refused(plan, "trained with labels of 3 classes, and two has 2", network=network, data=str(write_pictures("two", labels=2)))
    assert plan(network=network, data=str(write_pictures("three", labels=3))).labelled


def test_path_length_is_of_models(plan, write_model, write_pictures, monkeypatch):
    monkeypatch.setattr("sgtool.measuring.detector.find", lambda kind: "weights")
    refused(plan, "Path length is measured of a model", metrics="ppl2_wend", pictures=str(write_pictures("made")))
    assert plan(metrics="ppl2_wend", data=None).real == {}
    network = str(write_model("c.pkl", c_dim=3))
    refused(plan, "--data is missing: the model makes pictures of labels", network=network, metrics="ppl2_wend", data=None)


def test_pictures_cannot_be_repeated(plan, write_pictures):
    refused(plan, "--repeats generates pictures anew", repeats=2, pictures=str(write_pictures("made")))


def test_held_out_pictures_are_not_those_trained_on(plan, write_pictures):
    data = str(write_pictures("same"))
    refused(plan, "--held-out .*same holds the pictures of same itself", data=data, held_out=data)
    plan(metrics="memorization5", detector="x.onnx", data=data)
    assert "memorization without --held-out" in plan.warned[-1]


def test_a_run_folder_tells_data_mirror_and_where_results_go(plan, write_model, write_pictures, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    network, data = write_model("run/network-snapshot-000001.pkl", mirror=True), write_pictures("ours")
    (run / "training_options.json").write_text(json.dumps({"data": str(data)}))
    made = plan(network=str(run), data=None)
    assert (made.outdir, made.mirror, made.real[True].number) == (run, True, 24)
    assert made.mirrored(made.protocols[0])
    assert not plan(network=str(network), data=None, mirror=False).mirror
    (run / "training_options.json").write_text(json.dumps({"training_set_kwargs": {"path": str(data), "xflip": False}}))
    assert not plan(network=str(run), data=None).mirror
    (run / "training_options.json").write_text("{")
    refused(plan, "--data is missing", network=str(run), data=None)


def test_full_protocols_look_at_pictures_as_they_are_though_the_run_mirrored_them(plan):
    made = plan(metrics="fid50k_full,fid50", mirror=True, detector="x.onnx")
    assert [made.real_count(protocol) for protocol in made.protocols] == [12, 24]


def test_other_pictures_than_the_model_was_trained_on_are_told_of(plan, write_model):
    plan(network=str(write_model("other.pkl", fingerprint="abc")))
    assert plan.warned == ["other.pkl was trained on other pictures than data, or on a part of them."]


def test_what_is_told_of_the_data_has_the_filter_that_made_it(plan, write_pictures, tmp_path):
    told = plan(data=str(write_pictures("made", resize_filter="box", transform="pad"))).told["data"]
    assert (told["name"], told["resize_filter"], told["transform"], told["pictures"]) == ("made", "box", "pad", 12)
    assert told["fingerprint"] == open_dataset(tmp_path / "made").fingerprint
