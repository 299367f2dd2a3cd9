import copy
import io

import numpy as np
import pytest
import torch

from sgtool.latents.projection.adam import RowAdam
from sgtool.latents.projection.schedule import rampdown_step
from sgtool.latents.projection.search import Search
from sgtool.latents.projection.settings import Settings
from sgtool.latents.projection.start import nearest_labels, start_of_each, statistics_of_w
from sgtool.latents.seeds import latents_of_seeds, one_hot

SHORT = {"num_steps": 30, "w_avg_samples": 200}


def made(G, seeds, c=None):
    """ws and pictures of seeds, with the network's own noise maps."""
    with torch.no_grad():
        ws = G.mapping(latents_of_seeds(seeds, G.z_dim), c)
        return ws, G.synthesis(ws, noise_mode="const")


def finish(search):
    while not search.finished:
        last = search.step()
    return last


def squared_error(a, b):
    return (a - b).square().mean(dim=(1, 2, 3))


# --- it finds what is there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_generated_picture_is_found_again(make_generator, pixels, space):
    G = make_generator(8, noise_strength=0.01)
    _, targets = made(G, [1, 2, 3])
    search = Search(G, targets, pixels, Settings(space=space, num_steps=80, w_avg_samples=500))
    at_the_mean = squared_error(search.pictures(), targets)
    last = finish(search)
    assert (squared_error(search.pictures(), targets) < at_the_mean / 20).all()
    torch.testing.assert_close(last["distance"], 4 * squared_error(search.pictures(), targets), rtol=0.2, atol=1e-4)


@pytest.mark.parametrize(("resolution", "channels"), [((16, 24), 3), (8, 1), (8, 4), (4, 3), ((4, 3), 2), ((6, 5), 3)])
def test_pictures_of_any_shape_are_searched(make_generator, pixels, resolution, channels):
    G = make_generator(resolution, channels)
    _, targets = made(G, [5, 6])
    search = Search(G, targets, pixels, Settings(space="w+", **SHORT))
    before = squared_error(search.pictures(), targets)
    last = finish(search)
    assert search.pictures().shape == targets.shape
    assert search.ws().shape == (2, G.num_ws, G.w_dim)
    assert all(torch.isfinite(values).all() for values in last.values())
    assert (squared_error(search.pictures(), targets) < before / 2).all()


def test_w_has_equal_rows_and_w_plus_has_not(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [5])
    spread = {}
    for space in ("w", "w+"):
        search = Search(G, targets, pixels, Settings(space=space, **SHORT))
        finish(search)
        spread[space] = search.ws().std(dim=1).max()
    assert spread["w"] < 1e-6
    assert spread["w+"] > 1e-3


def test_the_last_step_is_as_good_as_the_best(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [1, 2, 3])
    search = Search(G, targets, pixels, Settings(num_steps=60, w_avg_samples=500))
    seen = torch.stack([search.step()["distance"] for _ in range(60)])
    assert (seen[-1] <= 1.01 * seen.min(dim=0).values + 1e-6).all()


# --- the definition ---------------------------------------------------------------------------------------------------------


def test_the_mean_and_spread_of_w_are_the_published_ones(make_generator):
    G = make_generator(8)
    mean, spread = statistics_of_w(G, 1500)
    w = G.mapping(torch.from_numpy(np.random.RandomState(123).randn(1500, 16)).float())[:, 0].numpy()
    np.testing.assert_allclose(mean.numpy(), w.mean(axis=0), atol=1e-5)
    assert spread == pytest.approx((np.sum((w - w.mean(axis=0)) ** 2) / 1500) ** 0.5, rel=1e-5)


def test_a_search_is_the_published_loop(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [4])
    settings = Settings(num_steps=12, w_avg_samples=300)
    search = Search(G, targets, pixels, settings)
    start, maps = search.ws()[:, :1].clone(), {name: value.clone() for name, value in search.noises().items()}
    ws, distances = slow_search(G, targets, pixels, settings, start, maps)
    seen = [search.step()["distance"].item() for _ in range(12)]
    np.testing.assert_allclose(seen, distances, rtol=1e-3)
    torch.testing.assert_close(search.ws(), ws.expand(-1, G.num_ws, -1), rtol=1e-3, atol=1e-3)


def slow_search(G, targets, pixels, settings, w, maps):
    """The loop of the paper for one picture with torch's Adam, the noise maps in the network's buffers."""
    synthesis = copy.deepcopy(G.synthesis)
    buffers = dict(synthesis.named_buffers())
    maps = {name: value[0].clone().requires_grad_(True) for name, value in maps.items()}
    w = w.clone().requires_grad_(True)
    adam = torch.optim.Adam([w, *maps.values()], lr=1.0)
    drawn = torch.Generator().manual_seed(settings.seed)
    torch.randn(1, sum(value.numel() for value in maps.values()), generator=drawn)
    spread, distances = statistics_of_w(G, settings.w_avg_samples)[1], []
    for step in range(settings.num_steps):
        t = step / settings.num_steps
        sigma = spread * 0.05 * max(0, 1 - t / 0.75) ** 2
        adam.param_groups[0]["lr"] = 0.1 * (0.5 - 0.5 * np.cos(np.pi * min(1, (1 - t) / 0.25))) * min(1, t / 0.05)
        ws = (w + sigma * torch.randn(1, 16, generator=drawn)).expand(-1, G.num_ws, -1)
        for name, value in maps.items():
            owner, _, last = name.rpartition(".")
            synthesis.get_submodule(owner)._buffers[last] = value
        distance = (pixels.features(synthesis(ws, noise_mode="const")) - pixels.features(targets)).square().sum()
        penalty = sum((m * m.roll(1, 0)).mean() ** 2 + (m * m.roll(1, 1)).mean() ** 2 for m in maps.values())
        adam.zero_grad()
        (distance + 1e5 * penalty).backward()
        adam.step()
        with torch.no_grad():
            for value in maps.values():
                value -= value.mean()
                value *= value.square().mean().rsqrt()
        distances.append(distance.item())
    assert buffers.keys() >= maps.keys()
    return w.detach(), distances


def test_adam_by_rows_is_torchs_adam():
    generator = torch.Generator().manual_seed(1)
    own = torch.randn(3, 5, generator=generator)
    theirs = own.clone().requires_grad_(True)
    row_adam, adam = RowAdam(own), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(20):
        gradient = torch.randn(3, 5, generator=generator)
        theirs.grad = gradient.clone()
        adam.step()
        row_adam.step(own, gradient, [0.03] * 3)
    torch.testing.assert_close(own, theirs.detach())


def test_noise_maps_stay_normal_and_are_the_pictures_own(make_generator, pixels):
    G = make_generator(8, noise_strength=0.3)
    _, targets = made(G, [1, 2])
    search = Search(G, targets, pixels, Settings(**SHORT))
    begin = search.noises()
    assert all(value[0].equal(value[1]) for value in begin.values())
    finish(search)
    for name, value in search.noises().items():
        assert value.shape[1:] == G.synthesis.get_buffer(name).shape
        assert not value[0].equal(value[1])
        torch.testing.assert_close(value.square().mean(dim=(1, 2)), torch.ones(2), atol=1e-4, rtol=0)
    assert not search.pictures().equal(search.pictures(own_noise=True))
    maps = {name: value[1] for name, value in search.noises().items()}
    alone = torch.func.functional_call(G.synthesis, maps, (search.ws()[1:], "const"))
    torch.testing.assert_close(search.pictures()[1:], alone)


def test_without_noise_optimisation_the_network_keeps_its_own_maps(make_generator, pixels):
    G = make_generator(8, noise_strength=0.3)
    _, targets = made(G, [1])
    search = Search(G, targets, pixels, Settings(optimise_noise=False, **SHORT))
    assert finish(search)["noise"].item() == 0
    assert search.noises() == {}
    assert search.pictures().equal(search.pictures(own_noise=True))
    torch.testing.assert_close(search.pictures(), G.synthesis(search.ws(), noise_mode="const"))


# --- pictures do not meddle -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_picture_comes_out_the_same_alone_in_a_batch_and_in_another_order(make_generator, pixels, space):
    G = make_generator(8)
    _, targets = made(G, [1, 2, 3, 4])
    settings = Settings(space=space, num_steps=15, w_avg_samples=300)
    results = {}
    for order in ([0, 1, 2, 3], [2], [3, 2, 0]):
        search = Search(G, targets[order], pixels, settings)
        finish(search)
        results[tuple(order)] = search.ws()[order.index(2)]
    first, *others = results.values()
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-3)


def test_the_generator_and_torchs_random_numbers_are_left_alone(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [1])
    before = copy.deepcopy(G.state_dict())
    state = torch.get_rng_state()
    finish(Search(G, targets, pixels, Settings(num_steps=5, w_avg_samples=100)))
    assert all(value.equal(before[name]) for name, value in G.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in G.parameters())
    assert torch.get_rng_state().equal(state)


def test_gradients_reach_the_latents_and_maps_of_their_own_picture_only(make_generator, pixels):
    search = Search(G := make_generator(8), made(G, [1, 2])[1], pixels, Settings(num_steps=10, w_avg_samples=100))
    x = search._x.clone().requires_grad_(True)
    distances, noise = search._terms(x)
    (gradient,) = torch.autograd.grad(distances[0] + noise[0], x)
    assert (gradient[1] == 0).all()
    assert (gradient[0, :16] != 0).all()
    assert (gradient[0, 16:] != 0).float().mean() > 0.9


def test_it_works_where_gradients_are_switched_off(make_generator, pixels):
    G = make_generator(8)
    with torch.inference_mode():
        _, targets = made(G, [1])
        search = Search(G, targets, pixels, Settings(num_steps=5, w_avg_samples=100))
        while not search.finished:
            search.step()
        assert search.ws().shape == (1, G.num_ws, 16)


def test_half_precision_of_the_network_is_not_used(make_generator, pixels):
    from sgtool.networks import set_precision

    G = make_generator(16, num_fp16_res=2)
    _, targets = made(G, [1])
    set_precision(G, "bf16")
    search = Search(G, targets, pixels, Settings(num_steps=5, w_avg_samples=100))
    set_precision(G, "fp32")
    again = Search(G, targets, pixels, Settings(num_steps=5, w_avg_samples=100))
    finish(search), finish(again)
    assert search.ws().equal(again.ws())


# --- labels -----------------------------------------------------------------------------------------------------------------


def test_each_label_has_its_own_start(make_generator):
    G = make_generator(8, classes=3)
    labels = one_hot([2, 0, 2], 3)
    means, spreads = start_of_each(G, 300, labels, 3)
    mean, spread = statistics_of_w(G, 300, labels[0])
    assert means[0].equal(mean)
    assert means[2].equal(mean)
    assert not means[1].equal(mean)
    assert spreads[0].item() == pytest.approx(spread)
    w = G.mapping(torch.from_numpy(np.random.RandomState(123).randn(300, 16)).float(), labels[:1].expand(300, -1))[:, 0]
    torch.testing.assert_close(mean, w.mean(dim=0))


def test_without_a_label_the_start_is_the_mean_of_all_classes(make_generator):
    G = make_generator(8, classes=3)
    means, spreads = start_of_each(G, 300, None, 2)
    each = torch.eye(3)[torch.arange(300) % 3]
    w = G.mapping(torch.from_numpy(np.random.RandomState(123).randn(300, 16)).float(), each)[:, 0]
    torch.testing.assert_close(means[0], w.mean(dim=0))
    assert spreads[0].item() == pytest.approx((w - w.mean(dim=0)).square().sum().div(300).sqrt().item(), rel=1e-5)


def test_the_label_is_chosen_whose_pictures_are_alike(make_generator, pixels):
    G = make_generator(8, classes=4)
    wanted = one_hot([3, 1, 0, 2], 4)
    means, _ = start_of_each(G, 400, wanted, 4)
    with torch.no_grad():
        targets = G.synthesis(means[:, None].expand(-1, G.num_ws, -1), noise_mode="const")
    assert nearest_labels(G, targets, pixels, 400).equal(wanted)
    search = Search(G, targets, pixels, Settings(**SHORT), optimise_labels=True)
    assert search.labels.equal(wanted)
    given = Search(G, targets, pixels, Settings(**SHORT), labels=wanted)
    assert given.ws().equal(search.ws())


def test_labels_of_an_unconditional_network_are_none(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [1])
    assert Search(G, targets, pixels, Settings(**SHORT), labels=torch.zeros(1, 0), optimise_labels=True).labels is None


# --- stopping and going on --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"space": "w+", "patience": 4, "min_improvement": 0.2}])
@pytest.mark.parametrize("stop", [5, 19])
def test_going_on_equals_not_having_stopped(make_generator, pixels, settings, stop):
    G = make_generator(8)
    _, targets = made(G, [1, 2, 3])
    settings = Settings(num_steps=24, w_avg_samples=200, **settings)
    whole, first = (Search(G, targets, pixels, settings) for _ in range(2))
    finish(whole)
    for _ in range(stop):
        if not first.finished:
            first.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    second = Search(G, targets, pixels, settings)
    second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert (second.step_number, second.steps_left, second.active) == (first.step_number, first.steps_left, first.active)
    assert second.ws().equal(first.ws())
    if not second.finished:
        finish(second)
    assert second.ws().equal(whole.ws())
    assert all(value.equal(second.noises()[name]) for name, value in whole.noises().items())
    assert second.step_number == whole.step_number


def test_a_state_is_a_copy(make_generator, pixels):
    G = make_generator(8)
    search = Search(G, made(G, [1])[1], pixels, Settings(num_steps=10, w_avg_samples=100))
    search.step(), search.step()
    state = search.state_dict()
    kept = copy.deepcopy(state)
    search.step()
    assert state["x"].equal(kept["x"])
    assert state["adam"]["first"].equal(kept["adam"]["first"])


def test_a_state_of_other_pictures_is_refused(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [1, 2])
    state = Search(G, targets, pixels, Settings(**SHORT)).state_dict()
    with pytest.raises(ValueError, match="variables"):
        Search(G, targets[:1], pixels, Settings(**SHORT)).load_state_dict(state)


def test_pictures_that_no_longer_improve_go_through_the_last_part_and_leave(make_generator, pixels):
    G = make_generator(8)
    _, targets = made(G, [1, 2])
    settings = Settings(num_steps=100, w_avg_samples=200, patience=8, min_improvement=0.05)
    flat = torch.zeros_like(targets[:1])  # which cannot be made: it soon stands still
    search = Search(G, torch.cat([targets, flat]), pixels, settings)
    batches, seen, kept = [], [], None
    while not search.finished:
        seen.append(search.step()["distance"])
        batches.append(len(search.active))
        if len(search.active) < 3 and kept is None:
            left = next(i for i in range(3) if i not in search.active)
            kept = left, search.ws()[left]
    last_part = 100 - rampdown_step(settings)
    assert batches[-2] < 3
    assert batches[: last_part + 8] == [3] * (last_part + 8)  # nobody leaves without patience and the last part
    assert batches == sorted(batches, reverse=True)
    assert search.ws()[kept[0]].equal(kept[1])
    assert (seen[-1] <= 1.05 * torch.stack(seen).min(dim=0).values).all()


def test_a_finished_search_leaves_nothing_to_do(make_generator, pixels):
    G = make_generator(8)
    search = Search(G, made(G, [1])[1], pixels, Settings(num_steps=3, w_avg_samples=100))
    assert search.steps_left == 3
    finish(search)
    assert (search.steps_left, search.active, search.step_number) == (0, [], 3)


@pytest.mark.parametrize("wrong", [torch.zeros(1, 3, 8, 4), torch.zeros(1, 1, 8, 8), torch.zeros(3, 8, 8)])
def test_targets_of_another_shape_are_refused(make_generator, pixels, wrong):
    with pytest.raises(ValueError, match=r"targets must be \[N, 3, 8, 8\]"):
        Search(make_generator(8), wrong, pixels, Settings(**SHORT))


def test_labels_of_another_shape_are_refused(make_generator, pixels):
    with pytest.raises(ValueError, match=r"labels must be \[1, 3\]"):
        Search(make_generator(8, classes=3), torch.zeros(1, 3, 8, 8), pixels, Settings(**SHORT), labels=torch.zeros(1, 2))
