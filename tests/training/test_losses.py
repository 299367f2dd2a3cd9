"""Losses, regularizers and all their gradients against reference numbers; then against their definitions."""

import json
import math

import numpy as np
import pytest
import torch

from sgtool.networks import build_discriminator, build_generator
from sgtool.training.losses import discriminator_loss, generator_loss, path_length_penalty, path_lengths, r1_penalty


class Reference:
    """The reference data, networks with its weights, and each phase's loss as the training computes it."""

    def __init__(self, arrays):
        self.meta = json.loads(str(arrays["meta"]))
        self.arrays = {name: torch.from_numpy(arrays[name]) for name in arrays if name != "meta"}
        self.G = build_generator(**self.meta["G_kwargs"])
        self.D = build_discriminator(**self.meta["D_kwargs"])
        for name in ("G", "D"):
            weights = {k[2:]: v for k, v in self.arrays.items() if k.startswith(f"{name}/")}
            getattr(self, name).load_state_dict(weights, strict=True)
        self.z, self.c, self.real, self.real_c = (self.arrays[f"in/{k}"] for k in ("z", "c", "real", "real_c"))

    def synthesis(self, ws):
        return self.G.synthesis(ws, noise_mode="const")

    def fake(self):
        return self.synthesis(self.G.mapping(self.z, self.c))

    def Gmain(self):
        logits = self.D(self.fake(), self.c)
        loss = generator_loss(logits)
        return loss, {"logits_fake": logits, "Gmain": loss}

    def Dmain(self):
        fake, real = self.D(self.fake().detach(), self.c), self.D(self.real, self.real_c)
        loss = discriminator_loss(fake, real)
        return loss, {"logits_fake": fake, "logits_real": real, "Dmain": loss}

    def Dreg(self):
        penalty = r1_penalty(self.D, self.real, self.real_c)
        loss = penalty.mean() * (self.meta["r1_gamma"] / 2)
        return loss, {"R1_penalty": penalty, "Dreg": loss}

    def Greg(self):
        count = self.meta["pl_batch"]
        ws = self.G.mapping(self.z[:count], self.c[:count])
        unit = self.arrays["in/pl_noise_unit"]
        lengths = path_lengths(self.synthesis, ws, unit / math.sqrt(unit.shape[2] * unit.shape[3]))
        before = self.arrays["in/pl_mean_before"]
        penalty, after = path_length_penalty(lengths, before, self.meta["pl_decay"])
        loss = penalty.mean() * self.meta["pl_weight"]
        assert not after.requires_grad
        return loss, {"PL_lengths": lengths, "PL_penalty": penalty, "pl_mean_after": after, "Greg": loss}


@pytest.fixture
def reference(golden):
    with np.load(golden / "losses.npz") as arrays:
        return Reference(arrays)


@pytest.mark.parametrize("phase", ["Gmain", "Greg", "Dmain", "Dreg"])
def test_values_and_gradients_of_a_phase_equal_the_reference(reference, phase):
    loss, values = getattr(reference, phase)()
    for name, value in values.items():
        expected = reference.arrays[f"value/{name}"]
        assert value.shape == expected.shape
        assert torch.allclose(value.detach(), expected, rtol=1e-4, atol=1e-6), name
    network = reference.G if phase[0] == "G" else reference.D
    loss.backward()
    names = [name for name, _ in network.named_parameters()]
    assert sorted(names) == sorted(reference.meta["gradnorm_names"][phase])
    for name, parameter in network.named_parameters():
        expected = reference.arrays[f"grad/{phase}/{name}"]
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        limit = 1e-6 if expected.norm() < 1e-5 else 2e-3 * expected.norm()
        assert (found - expected).norm() <= limit, name


def test_losses_of_certain_and_of_undecided_logits():
    zero, sure = torch.zeros(4, 1), torch.full((4, 1), 50.0)
    assert float(generator_loss(zero)) == pytest.approx(math.log(2))
    assert float(generator_loss(-sure)) == pytest.approx(50)
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(discriminator_loss(-sure, sure)) == pytest.approx(0, abs=1e-9)
    assert float(discriminator_loss(sure, -sure)) == pytest.approx(100)


def test_r1_of_a_linear_judge_is_its_squared_weight():
    weight = torch.randn(3, 8, 8)
    penalty = r1_penalty(lambda img, c: (img * weight).sum([1, 2, 3])[:, None], torch.randn(5, 3, 8, 8), None)
    assert penalty.shape == (5,)
    assert torch.allclose(penalty, weight.square().sum().expand(5), rtol=1e-5)


def test_path_length_of_a_linear_generator_is_its_own_scale():
    """G(w) = a * w for a picture of H * W values: J^T y = a * y, whose length is a for y of length 1."""
    noise = torch.randn(4, 1, 8, 8)
    noise = noise / noise.square().sum([1, 2, 3], keepdim=True).sqrt()
    ws = torch.randn(4, 1, 64)
    lengths = path_lengths(lambda ws: 3.0 * ws.reshape(4, 1, 8, 8), ws, noise)
    assert torch.allclose(lengths, torch.full([4], 3.0), rtol=1e-5)


def test_path_lengths_average_over_layers():
    noise = torch.ones(1, 1, 1, 1)

    def synthesis(ws):  # only the first of four layers matters, with slope 2
        return 2 * ws[:, :1, :1, None]

    assert float(path_lengths(synthesis, torch.zeros(1, 4, 1), noise)) == pytest.approx(math.sqrt(2**2 / 4))


def test_the_mean_path_length_moves_by_its_decay():
    lengths = torch.tensor([1.0, 3.0])
    penalty, mean = path_length_penalty(lengths, torch.tensor(0.0), 0.01)
    assert float(mean) == pytest.approx(0.02)
    assert penalty.tolist() == pytest.approx([0.98**2, 2.98**2])
