import copy
import io

import pytest
import torch

from sgtool.latents.projection.search import Search
from sgtool.latents.projection.settings import Settings
from sgtool.latents.projection.tuning import Tuning, learning_rate
from sgtool.latents.seeds import latents_of_seeds
from sgtool.networks import set_precision

FAST = {"tuning_steps": 30, "tuning_learning_rate": 1e-2}


def pivots_and_targets(G, number=2):
    """Latents, and pictures that are not theirs."""
    generator = torch.Generator().manual_seed(1)
    c = torch.eye(G.c_dim)[:1].expand(number, -1) if G.c_dim else None
    with torch.no_grad():
        ws = G.mapping(latents_of_seeds(range(number), G.z_dim), c)
        own = G.synthesis(ws, noise_mode="const")
    return ws, 0.8 * own + 0.3 * torch.randn(own.shape, generator=generator).clamp(-1, 1)


def finish(tuning):
    while not tuning.finished:
        last = tuning.step()
    return last


def squared_error(a, b):
    return (a - b).square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize(("resolution", "channels", "classes"), [(8, 3, 0), ((8, 12), 4, 0), (8, 1, 3)])
def test_the_pictures_of_the_pivots_become_the_targets(make_generator, pixels, resolution, channels, classes):
    G = make_generator(resolution, channels, classes)
    ws, targets = pivots_and_targets(G)
    tuning = Tuning(G, ws, targets, pixels, Settings(**FAST))
    before = squared_error(tuning.pictures(), targets)
    torch.testing.assert_close(tuning.pictures(), G.synthesis(ws, noise_mode="const"))
    first = tuning.step()
    torch.testing.assert_close(first["pixels"], before)
    torch.testing.assert_close(first["distance"], 4 * before)
    finish(tuning)
    assert (squared_error(tuning.pictures(), targets) < before / 2).all()
    torch.testing.assert_close(tuning.network().synthesis(ws, noise_mode="const"), tuning.pictures())


def test_only_the_synthesis_network_of_the_copy_changes(make_generator, pixels):
    G = make_generator(8)
    before = copy.deepcopy(G.state_dict())
    ws, targets = pivots_and_targets(G)
    tuning = Tuning(G, ws, targets, pixels, Settings(**FAST))
    finish(tuning)
    tuned = tuning.network()
    assert all(value.equal(before[name]) for name, value in G.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in G.parameters())
    assert not any(parameter.requires_grad for parameter in tuned.parameters())
    changed = {name for name, value in tuned.state_dict().items() if not value.equal(before[name])}
    assert changed >= {f"synthesis.{name}" for name in ("b4.const", "b8.conv1.weight", "b8.conv0.affine.weight")}
    assert not any(name.startswith("mapping.") or "noise_const" in name or "filter" in name for name in changed)
    assert type(tuned) is type(G)
    assert not tuned.training
    z = latents_of_seeds([7], G.z_dim)
    assert tuned.mapping(z).equal(G.mapping(z))


def test_the_tuned_network_computes_in_the_precision_of_the_original(make_generator, pixels):
    G = make_generator(16, num_fp16_res=2)
    set_precision(G, "bf16")
    ws, targets = pivots_and_targets(G, 1)
    network = Tuning(G, ws, targets, pixels, Settings(**FAST)).network()
    assert network.synthesis.b16.half_type == torch.bfloat16
    assert network.synthesis(ws, noise_mode="const").equal(G.synthesis(ws, noise_mode="const"))


def test_a_step_is_one_of_adam_on_the_mean_of_distance_and_pixels(make_generator, pixels):
    G = make_generator(8)
    ws, targets = pivots_and_targets(G)
    settings = Settings(tuning_steps=3, tuning_learning_rate=1e-2, tuning_distance_weight=0.5, tuning_pixel_weight=2.0)
    tuning = Tuning(G, ws, targets, pixels, settings)
    finish(tuning)
    synthesis = copy.deepcopy(G.synthesis).requires_grad_(True)
    adam = torch.optim.Adam(synthesis.parameters(), lr=1e-2)
    for _ in range(3):
        error = (synthesis(ws, noise_mode="const") - targets).square().mean()
        adam.zero_grad()
        (0.5 * 4 * error + 2 * error).backward()
        adam.step()
    for name, value in tuning.network().synthesis.named_parameters():
        torch.testing.assert_close(value, synthesis.get_parameter(name).detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("widest", "rate"), [(512, 3e-4), (1024, 3e-4), (128, 6e-4), (32, 1.2e-3)])
def test_the_published_rate_is_for_wide_networks_and_narrow_ones_get_more(make_generator, pixels, widest, rate):
    G = make_generator(8, channels=1, **{"channel_base": 4 * widest, "channel_max": widest})
    assert learning_rate(G.synthesis) == pytest.approx(rate)
    ws, targets = pivots_and_targets(G, 1)
    assert Tuning(G, ws, targets, pixels, Settings()).learning_rate == pytest.approx(rate)
    assert Tuning(G, ws, targets, pixels, Settings(tuning_learning_rate=0.5)).learning_rate == 0.5


def test_computing_in_batches_changes_nothing_but_rounding(make_generator, pixels):
    G = make_generator(8)
    ws, targets = pivots_and_targets(G, 5)
    whole, parts = (Tuning(G, ws, targets, pixels, Settings(tuning_steps=5), batch=batch) for batch in (None, 2))
    for _ in range(5):
        a, b = whole.step(), parts.step()
    torch.testing.assert_close(a["distance"], b["distance"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(whole.pictures(), parts.pictures(), rtol=1e-3, atol=1e-3)


def test_noise_maps_of_the_search_become_the_networks(make_generator, pixels):
    G = make_generator(8, noise_strength=0.3)
    _, targets = pivots_and_targets(G, 1)
    search = Search(G, targets, pixels, Settings(num_steps=5, w_avg_samples=100))
    while not search.finished:
        search.step()
    tuning = Tuning(G, search.ws(), targets, pixels, Settings(**FAST), noises=search.noises())
    torch.testing.assert_close(tuning.pictures(), search.pictures())
    network = tuning.network()
    for name, maps in search.noises().items():
        assert network.synthesis.get_buffer(name).equal(maps[0])


def test_locality_keeps_other_pictures_as_they_were(make_generator, pixels):
    G = make_generator(8)
    ws, targets = pivots_and_targets(G)
    with torch.no_grad():
        others = G.mapping(latents_of_seeds(range(50, 60), G.z_dim))
        radius = (others - ws[:1])[:, 0].norm(dim=1).mean().item()
    drift = {}
    for weight in (0.0, 10.0):
        settings = Settings(**FAST, locality_weight=weight, locality_radius=radius)
        tuning = Tuning(G, ws, targets, pixels, settings)
        finish(tuning)
        moved = squared_error(tuning.network().synthesis(others, noise_mode="const"), G.synthesis(others, noise_mode="const"))
        drift[weight] = moved.mean()
    assert drift[10.0] < drift[0.0] / 2


@pytest.mark.parametrize(("settings", "classes"), [({}, 0), ({"locality_weight": 0.5, "locality_radius": 3.0}, 3)])
def test_going_on_equals_not_having_stopped(make_generator, pixels, settings, classes):
    G = make_generator(8, classes=classes)
    ws, targets = pivots_and_targets(G)
    settings = Settings(tuning_steps=11, **settings)
    whole, first, second = (Tuning(G, ws, targets, pixels, settings) for _ in range(3))
    finish(whole)
    for _ in range(4):
        first.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert (second.step_number, second.steps_left) == (4, 7)
    finish(second)
    assert second.pictures().equal(whole.pictures())
    others = second.network().state_dict()
    assert all(value.equal(others[name]) for name, value in whole.network().state_dict().items())


def test_it_works_where_gradients_are_switched_off(make_generator, pixels):
    G = make_generator(8)
    with torch.inference_mode():
        ws, targets = pivots_and_targets(G)
        tuning = Tuning(G, ws, targets, pixels, Settings(tuning_steps=2))
        before = tuning.pictures().clone()
        finish(tuning)
        assert not tuning.pictures().equal(before)
        tuned = tuning.network()
    assert not any(parameter.is_inference() for parameter in tuned.parameters())


def test_arguments_that_do_not_fit_are_refused(make_generator, pixels):
    G = make_generator(8)
    ws, targets = pivots_and_targets(G)
    with pytest.raises(ValueError, match=r"ws must be \[2, "):
        Tuning(G, ws[:1], targets, pixels, Settings())
    with pytest.raises(ValueError, match="for a single picture only"):
        Tuning(G, ws, targets, pixels, Settings(), noises={"b4.conv1.noise_const": torch.zeros(2, 4, 4)})
