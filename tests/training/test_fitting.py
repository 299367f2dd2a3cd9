"""What fits of one network into another, and in which words it is told."""

import torch

from sgtool.networks import build_discriminator, build_generator
from sgtool.training.fitting import copy_fitting, describe_fit, fit, together

G = {
    "z_dim": 4,
    "c_dim": 0,
    "w_dim": 6,
    "img_resolution": 16,
    "img_channels": 1,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 4},
}
D = {"c_dim": 0, "img_resolution": 16, "img_channels": 1, "channel_base": 64, "channel_max": 4}


def shapes(network):
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def generators(**changes):
    return build_generator(**G | changes), build_generator(**G)


def fitted(new, old):
    return fit(shapes(new), shapes(old), (new.z_dim, old.z_dim))


def test_equal_networks_fit_whole():
    new, old = generators()
    found = fitted(new, old)
    assert (found.columns, found.fresh, found.unused) == ({}, [], [])
    assert describe_fit(found) == "copied whole"
    copy_fitting(new, old.state_dict(), found)
    z = torch.randn(2, 4)
    assert torch.equal(new(z, noise_mode="const"), old(z, noise_mode="const"))


def test_every_tensor_is_accounted_for_once():
    for changes in ({"c_dim": 3}, {"img_resolution": [32, 48]}, {"img_channels": 3}, {"w_dim": 5}, {"z_dim": 3}):
        new, old = generators(**changes)
        found = fitted(new, old)
        told = [*found.copied, *found.columns, *found.fresh]
        assert sorted(told) == sorted(key for key in shapes(new) if not key.endswith("resample_filter"))
        assert set(found.unused) == {key for key in shapes(old).keys() - shapes(new).keys() if "resample_filter" not in key}


def test_weights_and_bias_of_a_layer_go_together():
    new, old = build_discriminator(**D | {"img_channels": 3}), build_discriminator(**D)
    assert shapes(new)["b16.fromrgb.bias"] == shapes(old)["b16.fromrgb.bias"]
    found = fit(shapes(new), shapes(old))
    assert found.fresh == ["b16.fromrgb.weight", "b16.fromrgb.bias"]


def test_noise_maps_alone_are_new_where_only_the_size_differs():
    new, old = generators(img_resolution=[24, 16])
    found = fitted(new, old)
    assert "synthesis.b16.conv1.weight" in found.copied
    assert "synthesis.b16.conv1.noise_const" in found.fresh
    copy_fitting(new, old.state_dict(), found)
    assert torch.equal(new.synthesis.b16.conv1.weight, old.synthesis.b16.conv1.weight)


def test_columns_of_z_keep_their_place_beside_new_labels():
    new, old = generators(c_dim=3)
    before = new.mapping.fc0.weight.detach().clone()
    found = fitted(new, old)
    assert found.columns == {"mapping.fc0.weight": 4}
    assert "mapping.fc0.bias" in found.copied
    copy_fitting(new, old.state_dict(), found)
    assert torch.equal(new.mapping.fc0.weight[:, :4], old.mapping.fc0.weight)
    assert torch.equal(new.mapping.fc0.weight[:, 4:], before[:, 4:])


def test_inputs_that_only_add_up_to_the_same_do_not_fit():
    """z of 10 is as wide as z of 4 beside a label embedded in 6."""
    new, old = build_generator(**G | {"c_dim": 3}), build_generator(**G | {"z_dim": 10})
    assert shapes(new)["mapping.fc0.weight"] == shapes(old)["mapping.fc0.weight"]
    assert {"mapping.fc0.weight", "mapping.fc0.bias"} <= set(fitted(new, old).fresh)


def test_copying_changes_nothing_that_begins_anew():
    new, old = generators(img_resolution=32)
    before = {key: tensor.clone() for key, tensor in new.state_dict().items()}
    found = fitted(new, old)
    copy_fitting(new, old.state_dict(), found)
    assert all(torch.equal(new.state_dict()[key], before[key]) for key in found.fresh)
    assert all(torch.equal(new.state_dict()[key], old.state_dict()[key]) for key in found.copied)
    assert describe_fit(found) == "copied: synthesis.b4, synthesis.b8, synthesis.b16, mapping; new: synthesis.b32"


def test_names_are_shortened_to_whole_parts():
    network = ["a.b.weight", "a.b.bias", "a.c.weight", "a.c.affine.weight", "d", "e.noise_const", "e.weight"]
    assert together(network[:2], network) == ["a.b"]
    assert together(network[:4], network) == ["a"]
    assert together(["a.c.weight"], network) == ["a.c"]
    assert together(["a.c.affine.weight", "d"], network) == ["a.c.affine", "d"]
    assert together(["a.b.bias"], network) == ["a.b.bias"]
    assert together(["e.noise_const"], network) == ["1 noise map (noise_const)"]
    assert together(["e.noise_const", "e.weight"], network) == ["e"]


def test_layers_that_count_up_are_written_as_a_range():
    network = [f"m.fc{i}.weight" for i in range(12)] + ["m.w"]
    assert together(network[:12], network) == ["m.fc0 to fc11"]
    assert together([network[i] for i in (0, 1, 4, 5, 6, 9)], network) == ["m.fc0", "m.fc1", "m.fc4 to fc6", "m.fc9"]
