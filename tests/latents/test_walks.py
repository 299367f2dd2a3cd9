"""Which latents each frame shows: the walks against their definitions."""

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents.directions import Directions, write_directions
from sgtool.latents.file import Latents, write_latents
from sgtool.latents.interpolate import NoiseLoop
from sgtool.latents.model import open_model
from sgtool.latents.route import Route
from sgtool.latents.seeds import latents_of_seeds, one_hot
from sgtool.latents.walks import plan_walk
from sgtool.networks import build_generator


def make(tmp_path, c_dim=0):
    torch.manual_seed(0)
    G = build_generator(
        z_dim=16, c_dim=c_dim, w_dim=16, img_resolution=16, img_channels=3,
        mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 256, "channel_max": 16},
    )  # fmt: skip
    G.mapping.w_avg.normal_()
    snapshots.save(snapshots.Snapshot(G), tmp_path / "model.pkl")
    return open_model(tmp_path / "model.pkl")


@pytest.fixture
def model(tmp_path, one_thread):
    return make(tmp_path)


def walked(model, latents="0-3", *, fps=10, label=None, look=None, said=None, **route):
    """(ws of all frames `[frames, cells, num_ws, w_dim]`, recipe)"""
    said = [] if said is None else said
    route = Route(**route).checked()
    walk = plan_walk(route, parse_latents(latents), model, model.path.parent, fps, label=label, look=look, warn=said.append,
                     say=said.append)  # fmt: skip
    ws = np.stack([torch.as_tensor(w).numpy() for w in walk.stream])
    return ws.reshape(walk.frames, -1, model.G.num_ws, model.G.w_dim), walk.recipe


def mapped(model, z, c=None, **look):
    z = torch.as_tensor(np.asarray(z), dtype=torch.float32)
    return model.G.mapping(z, torch.zeros(len(z), 0) if c is None else c, **look).numpy()


def seeds(model, *numbers, **look):
    return mapped(model, latents_of_seeds(numbers, model.G.z_dim), **look)


def test_a_loop_through_w_is_the_closed_spline_of_the_mapped_seeds(model):
    ws, recipe = walked(model, "0-3", w_frames=5, look={"truncation_psi": 0.7, "truncation_cutoff": 3})
    keys = seeds(model, 0, 1, 2, 3, truncation_psi=0.7, truncation_cutoff=3)
    spline = CubicSpline(np.arange(5), np.concatenate([keys, keys[:1]]).astype(np.float64), bc_type="periodic")
    np.testing.assert_allclose(ws[:, 0], spline(np.arange(20) / 5), atol=2e-5)
    assert recipe["keyframes"][2] == {"seed": 2, "class": None, "truncation_psi": 0.7, "truncation_cutoff": 3}


def test_without_loop_the_last_frame_is_the_last_latent(model):
    ws, _ = walked(model, "0-2", w_frames=5, loop=False, interp="linear")
    keys = seeds(model, 0, 1, 2)
    assert len(ws) == 11
    np.testing.assert_allclose(ws[[0, 5, 10], 0], keys, atol=1e-5)
    np.testing.assert_allclose(ws[2, 0], 0.6 * keys[0] + 0.4 * keys[1], atol=1e-5)


def test_slerp_in_w_turns_about_the_average(model):
    ws, _ = walked(model, "0,1", w_frames=4, interp="slerp")
    average = model.G.mapping.w_avg.numpy()
    lengths = np.linalg.norm(ws[:, 0, 0] - average, axis=1)
    np.testing.assert_allclose(lengths[1], 0.75 * lengths[0] + 0.25 * lengths[4], rtol=1e-4)


def test_seconds_say_the_length_instead_of_keyframes(model):
    assert len(walked(model, "0-2", seconds=2.5)[0]) == 25
    assert len(walked(model, "0-2", seconds=2.5, loop=False, fps=20)[0]) == 50
    assert len(walked(model, "0-2")[0]) == 360  # 120 frames each, as NVIDIA's


def test_a_grid_takes_its_keyframes_cell_by_cell_and_shuffles_as_numpy_does(model):
    ws, _ = walked(model, "0-11", grid=(3, 2), w_frames=2)
    np.testing.assert_allclose(ws[0], seeds(model, 0, 2, 4, 6, 8, 10), atol=1e-5)
    np.testing.assert_allclose(ws[2], seeds(model, 1, 3, 5, 7, 9, 11), atol=1e-5)
    order = np.arange(4)
    np.random.RandomState(7).shuffle(order)
    ws, _ = walked(model, "0-3", grid=(2, 1), w_frames=1, shuffle_seed=7)
    np.testing.assert_allclose(ws[0], seeds(model, *order[[0, 2]]), atol=1e-5)


def test_with_num_keyframes_latents_are_used_again(model):
    ws, _ = walked(model, "0-2", grid=(2, 1), num_keyframes=2, w_frames=1)
    np.testing.assert_allclose(ws[0], seeds(model, 0, 2), atol=1e-5)
    np.testing.assert_allclose(ws[1], seeds(model, 1, 0), atol=1e-5)


def test_stored_latents_walk_layer_by_layer(model, tmp_path):
    rows = np.random.RandomState(0).randn(2, model.G.num_ws, 16).astype(np.float32)
    write_latents(tmp_path / "w.npz", Latents(rows, ["a", "b"], [{}, {}]))
    ws, _ = walked(model, f"{tmp_path}/w.npz", w_frames=4, interp="linear")
    np.testing.assert_allclose(ws[1, 0], 0.75 * rows[0] + 0.25 * rows[1], atol=1e-5)


def test_in_z_the_path_is_mapped_frame_by_frame(model):
    ws, recipe = walked(model, "0,1", space="z", interp="linear", w_frames=4, look={"truncation_psi": 0.5})
    z = latents_of_seeds([0, 1], 16).numpy()
    np.testing.assert_allclose(ws[1, 0], mapped(model, [0.75 * z[0] + 0.25 * z[1]], truncation_psi=0.5)[0], atol=1e-5)
    assert recipe["keyframes"] == [{"seed": 0, "class": None}, {"seed": 1, "class": None}]


def test_in_z_labels_go_along(tmp_path, one_thread):
    model = make(tmp_path, c_dim=3)
    ws, recipe = walked(model, "0@2,1", space="z", interp="linear", w_frames=4, label=1)
    z, c = latents_of_seeds([0, 1], 16).numpy(), one_hot([2, 1], 3)
    expected = mapped(model, [0.75 * z[0] + 0.25 * z[1]], (0.75 * c[0] + 0.25 * c[1])[None])[0]
    np.testing.assert_allclose(ws[1, 0], expected, atol=1e-5)
    assert [key["class"] for key in recipe["keyframes"]] == [2, 1]
    with pytest.raises(UserError, match="--class is missing"):
        walked(model, "0@2,1", space="z")
    with pytest.raises(UserError, match="--class 5 does not exist"):
        walked(model, "0", kind="noise", label=5)
    assert walked(model, "0", kind="noise", label=1, seconds=0.5)[0].shape == (5, 1, model.G.num_ws, 16)


def test_a_noise_loop_is_the_same_way_at_any_frame_rate(model):
    slow, _ = walked(model, "3,4", kind="noise", grid=(2, 1), seconds=4, fps=5)
    fast, _ = walked(model, "3,4", kind="noise", grid=(2, 1), seconds=4, fps=10)
    np.testing.assert_allclose(fast[::2], slow, atol=1e-5)
    np.testing.assert_allclose(slow[3, 1], mapped(model, [NoiseLoop(4, 16, 0.25).at(3 / 20)])[0], atol=1e-5)


def test_truncation_goes_from_one_to_the_other_and_back(model):
    ws, recipe = walked(model, "5", kind="trunc", sweep=(0.2, 1.0), w_frames=4)
    assert len(ws) == 8
    for frame, psi in ((0, 0.2), (2, 0.6), (4, 1.0), (6, 0.6)):
        np.testing.assert_allclose(ws[frame, 0], seeds(model, 5, truncation_psi=psi)[0], atol=1e-5)
    assert recipe["sweep"] == [0.2, 1.0]
    ws, _ = walked(model, "5", kind="trunc", w_frames=4, loop=False, look={"truncation_cutoff": 2})
    np.testing.assert_allclose(ws[0, 0], seeds(model, 5, truncation_psi=0, truncation_cutoff=2)[0], atol=1e-5)
    np.testing.assert_allclose(ws[-1, 0], seeds(model, 5)[0], atol=1e-5)


def test_several_latents_are_swept_one_after_the_other(model):
    ws, _ = walked(model, "5,6", kind="trunc", w_frames=4)
    assert len(ws) == 16
    np.testing.assert_allclose(ws[[4, 12], 0], seeds(model, 5, 6), atol=1e-5)


def test_mixing_keeps_the_rows_of_one_latent(model):
    plain, _ = walked(model, "0-3", w_frames=3)
    mixed, recipe = walked(model, "0-3", w_frames=3, kind="mix", styles_from=parse_latents("9"), styles=[1, 4])
    others = [0, 2, 3, 5]
    np.testing.assert_allclose(mixed[:, :, others], plain[:, :, others], atol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, [1, 4]], np.broadcast_to(seeds(model, 9)[:, [1, 4]], (12, 2, 16)), atol=1e-5)
    assert (recipe["styles"], recipe["styles_from"]["seed"]) == ([1, 4], 9)
    in_z, _ = walked(model, "0-3", w_frames=3, kind="mix", space="z", styles_from=parse_latents("9"), styles="fine")
    np.testing.assert_allclose(in_z[5, 0, -1], seeds(model, 9)[0, -1], atol=1e-5)


def test_an_edit_goes_to_both_sides_of_the_latent(model, tmp_path):
    vectors = np.eye(16, dtype=np.float32)[:2]
    write_directions(tmp_path / "d.npz", Directions(vectors, np.array([2, 3], np.float32), ["smile", "age"], [None, [0, 2]]))
    way = {"kind": "edit", "directions": str(tmp_path / "d.npz"), "direction": "age", "strength": 1.5}
    ws, recipe = walked(model, "5", w_frames=4, **way)
    start = seeds(model, 5)[0]
    np.testing.assert_allclose(ws[[0, 4], 0], [start, start], atol=1e-5)
    for frame, sign in ((2, 1), (6, -1)):
        change = ws[frame, 0] - start
        np.testing.assert_allclose(change[[0, 2]], [sign * 4.5 * vectors[1]] * 2, atol=1e-5)
        assert np.abs(change[[1, 3, 4, 5]]).max() == 0
    ws, _ = walked(model, "5", w_frames=4, loop=False, **way)
    np.testing.assert_allclose([ws[0, 0, 0, 1] - start[0, 1], ws[-1, 0, 0, 1] - start[0, 1]], [-4.5, 4.5], atol=1e-5)
    assert (recipe["direction"], recipe["layers"]) == ("age", [0, 2])


@pytest.mark.parametrize(
    ("latents", "route", "words"),
    [
        (
            "0",
            {},
            "A walk needs two latents or more in each cell of --grid 1x1, and there is one. Give at least 2, like --seeds 0-1.",
        ),
        ("0", {"loop": False}, "A walk needs two latents"),
        ("0-3", {"grid": (4, 1)}, "A walk needs two latents or more in each cell of --grid 4x1"),
        ("0-4", {"grid": (2, 1)}, "5 latents cannot be shared out evenly among the 2 cells of --grid 2x1."),
        ("0-1", {"grid": (2, 2)}, "2 latents cannot be shared out evenly among the 4 cells"),
        ("0-1", {"kind": "noise"}, "--walk noise takes one seed for each cell of --grid: 1. There are 2 in --seeds."),
        ("0", {"kind": "noise", "loop": False}, "--walk noise comes back to its start"),
        ("0", {"kind": "noise", "smooth": 1e-9}, "--smooth 1e-09 is too little for 60 seconds. Give more than 0.003."),
        ("0", {"kind": "noise", "num_keyframes": 3}, "--num-keyframes: --walk noise has no keyframes. Leave it out."),
        ("0", {"kind": "trunc", "sweep": (0.0, 99.0)}, "--sweep 99 is not a number to work with"),
        ("0", {"kind": "trunc", "sweep": (float("nan"), 1.0)}, "--sweep: that is no number to work with. Give a finite one."),
        ("0-1", {"seconds": float("nan")}, "--seconds: that is no number to work with."),
        ("0", {"kind": "noise", "smooth": float("inf")}, "--smooth: that is no number to work with."),
        ("0", {"kind": "edit", "directions": "no.npz", "strength": float("nan")}, "--strength: that is no number"),
        ("0-1", {"kind": "mix", "styles": "fine"}, "--walk mix needs --styles-from."),
        (
            "0-1",
            {"kind": "mix", "styles": [9], "styles_from": [0]},
            "--styles 9 does not exist: the network has the layers",
        ),
        ("0-1", {"kind": "mix", "styles": [1], "styles_from": [0, 1]}, "--styles-from names 2 latents; it takes one."),
        ("0-1", {"styles": [1]}, "--styles is for --walk mix. Give that, or leave it out."),
        ("0-1", {"kind": "trunc", "interp": "linear"}, "--interp is for --walk latents or --walk mix."),
        ("0", {"kind": "edit"}, "--walk edit needs --directions."),
        ("0", {"kind": "edit", "directions": "no.npz"}, "no.npz does not exist. Check the path."),
        ("0-1", {"seconds": 3, "w_frames": 3}, "--seconds and --w-frames both say how long the video is."),
        ("0,no.png", {"space": "z"}, "--space z walks between seeds, which alone have a z; no.png has none."),
        ("0,no.png", {}, "no.png is neither a seed nor a file"),
    ],
)
def test_a_walk_that_cannot_be_is_one_sentence(model, latents, route, words):
    with pytest.raises(UserError) as error:
        walked(model, latents, **route)
    assert words in str(error.value)


def test_a_model_without_average_has_no_truncation_to_sweep(model):
    del model.G.mapping.w_avg
    with pytest.raises(UserError, match="this model has no average to truncate to"):
        walked(model, "0", kind="trunc")
    assert walked(model, "0-1", interp="slerp", w_frames=2)[0].shape[0] == 4


def test_latents_are_made_when_they_are_asked_for(model):
    route = Route(kind="noise", seconds=3600).checked()
    walk = plan_walk(route, parse_latents("0"), model, model.path.parent, 240, warn=print, say=print)
    assert walk.frames == 3600 * 240
    assert len(list(itertools.islice(walk.stream, 3))) == 3
