"""Memory that is foretold: weights to the byte, activations by counting what is alive."""

import dataclasses

import pytest
import torch

from sgtool.training import memory_now
from sgtool.training.memory_now import available_memory, resident_memory
from sgtool.training.memory_plan import LiveBytes, MemoryPlan, bytes_of, phases, plan_memory
from sgtool.training.state import TrainState, trained

CPU = torch.device("cpu")


def test_bytes_are_counted_while_tensors_live():
    with LiveBytes() as live:
        x = torch.zeros(1000)
        y = x + 1  # 4000 bytes each
        assert live.now == 8000
        view = y.view(10, 100)[2:]
        x.add_(1)
        assert live.now == 8000
        del y
        assert live.now == 8000  # the view holds them
        del view
        assert live.now == 4000
        double = x.double()
    assert (live.now, live.peak) == (12000, 12000)
    assert double.dtype == torch.float64


def test_what_autograd_keeps_is_alive():
    weight = torch.ones(1000, requires_grad=True)
    with LiveBytes([weight]) as live:
        x = torch.ones(1000)
        y = weight * x
        y = y.exp().exp()  # each exp keeps its result, the product x, which is kept anyway
        assert live.now == 3 * 4000
        y.sum().backward()
        del x, y
    assert live.now == 4000  # the gradient
    assert live.peak >= 4 * 4000


def test_views_of_what_was_there_before_are_no_new_bytes():
    weight = torch.ones(10, 10)
    with LiveBytes([weight]) as live:
        view = weight.t()[1:]
    assert (live.peak, tuple(view.shape)) == (0, (9, 10))


def test_weights_gradients_and_optimizer_are_those_of_the_state(config):
    plan = plan_memory(config, CPU)
    state = TrainState.fresh(config, CPU)
    assert plan.networks == sum(bytes_of(getattr(state, name).state_dict().values()) for name in ("G", "D", "G_ema"))
    assert plan.gradients == bytes_of(trained(state.G) + trained(state.D))
    assert plan.optimizer == 2 * plan.gradients


def test_activations_grow_with_the_pictures_at_a_time_and_not_with_the_batch(config):
    def activations(**changes):
        return plan_memory(dataclasses.replace(config, mbstd_group=4, **changes), CPU).activations

    one, two, four = (activations(batch=64, batch_gpu=n) for n in (16, 32, 64))
    assert activations(batch=16, batch_gpu=16) == one
    assert (four - two) / (two - one) == pytest.approx(2, rel=0.1)


def test_half_precision_takes_less_on_the_device_that_computes_in_it(config):
    config = dataclasses.replace(config, num_fp16_res=4, conv_clamp=256.0)
    full, half = plan_memory(config, CPU), plan_memory(config, torch.device("cuda"))
    assert half.activations < 0.8 * full.activations
    assert half.networks == full.networks


def test_phases_that_are_off_are_not_counted(config):
    simple = dataclasses.replace(config, gamma=0.0, pl_weight=0.0)
    assert plan_memory(simple, CPU).activations <= plan_memory(config, CPU).activations
    assert len(phases(simple)) == 2


def test_nothing_is_computed_or_allocated(config):
    """A network of 1024 pixels, whose activations are tens of GB, in seconds."""
    large = dataclasses.replace(
        config, height=1024, width=1024, channel_base=32768, channel_max=512, batch=64, batch_gpu=64, c_dim=0
    )
    before = resident_memory()
    plan = plan_memory(large, CPU)
    assert plan.activations > 50e9
    assert resident_memory() - before < 1e9


def test_a_plan_reads_as_a_line():
    plan = MemoryPlan(int(1e9), int(2e9), int(4e9), int(8e9))
    assert plan.total == 15e9
    assert plan.describe() == "15.00 GB (networks 1.00, gradients 2.00, optimizer 4.00, activations 8.00)"


def test_free_memory_is_the_least_of_what_system_group_and_limit_leave(monkeypatch):
    files = {
        "/proc/meminfo": "MemTotal: 16000 kB\nMemAvailable:    8000 kB\n",
        "/proc/self/cgroup": "0::/job\n",
        "/sys/fs/cgroup/job/memory.max": "5000000\n",
        "/sys/fs/cgroup/job/memory.current": "1000000\n",
        "/proc/self/statm": "",
    }
    monkeypatch.setattr(memory_now, "_read", lambda path: files.get(str(path), ""))
    assert available_memory(CPU) == 4000000
    files["/sys/fs/cgroup/job/memory.max"] = "max\n"
    assert available_memory(CPU) == 8000 * 1024
    files.clear()
    assert available_memory(CPU) is None
    assert resident_memory() is None


def test_a_limit_of_the_address_space_counts(monkeypatch):
    limit = resident_memory() * 100
    monkeypatch.setattr(memory_now.resource, "getrlimit", lambda what: (limit, limit))
    assert 0 < memory_now._free_of_process() < limit
