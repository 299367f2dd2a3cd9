"""The benchmarks run, measure what they say, and compare with what they say. How fast anything is, is not tested."""

import importlib
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.autograd import DeviceType
from torch.utils._python_dispatch import TorchDispatchMode

from sgtool import snapshots
from sgtool.commands.prepare import prepare
from sgtool.networks import build_discriminator, build_generator
from sgtool.ops import bias_act, choice, conv2d_bias_act, modulated_conv2d, setup_filter, upsample2d

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = (
    "align",
    "breakdown",
    "ceilings",
    "generate",
    "gpu_check",
    "measure",
    "metrics",
    "mixing",
    "operations",
    "ops",
    "prepare",
    "project",
    "train_step",
    "ways",
)
TINY_RUN = ["--resolution", "8", "--cbase", "64", "--cmax", "8", "--batch", "4", "--map-depth", "1"]
aten = torch.ops.aten


@pytest.fixture
def bench(monkeypatch):
    """The benchmarks as modules, with ceilings that take no time to measure."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    modules = SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    for constant, small in (("COPY_BYTES", 1 << 12), ("SIDE", 32), ("PICTURES", (1, 8, 8))):
        monkeypatch.setitem(getattr(modules.ceilings, constant), "cpu", small)
    yield modules
    for name in NAMES:
        sys.modules.pop(name, None)


def written(folder, name):
    (path,) = folder.glob(f"{name}-*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_ops_are_measured_and_written_with_what_they_are_compared_to(bench, tmp_path, capsys):
    bench.ops.main(["--size", "2", "4", "8", "--rounds", "2", "--json", "--out", str(tmp_path)])
    result = written(tmp_path, "ops")
    assert result["options"]["rounds"] == 2
    assert result["machine"]["torch"] == torch.__version__
    rows = result["results"]["[2, 4, 8]"]
    assert {"bias_act lrelu double", "upsample2d, 4 taps forward", "modulated_conv2d up 2 backward"} <= rows.keys()
    for name, row in rows.items():
        assert ("gflop_per_s" in row) == ("conv2d" in name)
        assert min(row[key] for key in row.keys() - {"auto_s", "reference_s"}) > 0
        assert row["auto_s"]["low"] <= row["auto_s"]["median"] <= row["auto_s"]["high"]
    assert "of copying" in capsys.readouterr().out


def test_the_bytes_of_a_pass_are_those_of_its_inputs_and_results(bench):
    cases = {case.name: case for case in bench.ops.cases(2, 4, 8, torch.bfloat16, torch.device("cpu"))}
    pictures = 2 * 4 * 8 * 8 * 2
    act, up = cases["bias_act lrelu"], cases["upsample2d, 12 taps"]
    assert bench.ops.bytes_of(act, "forward") == 2 * pictures + 4 * 2
    assert bench.ops.bytes_of(act, "backward") == 3 * pictures + 4 * 2
    assert bench.ops.bytes_of(act, "double") == 3 * pictures
    assert bench.ops.bytes_of(up, "forward") == bench.ops.bytes_of(up, "backward") == 5 * pictures


def test_cases_that_begin_too_late_are_left_out_and_named(bench, capsys):
    args = bench.ops.arguments(["--rounds", "1", "--only", "filter2d"])
    assert bench.ops.measure_size((1, 2, 16), "", args, 1.0, late=lambda: True) == {}
    assert "left out, the time was up: filter2d, 4 taps, filter2d, 12 taps" in capsys.readouterr().out


def test_generation_is_measured_with_its_floor(bench, tmp_path, capsys):
    options = ["--size", "tiny", "8", "--pictures", "2", "--rounds", "2", "--precision", "bf16"]
    bench.generate.main([*options, "--json", "--out", str(tmp_path)])
    result = written(tmp_path, "generate")["results"]["tiny 8"]
    assert result["img_per_s"]["count"] == 2
    assert result["ratio"] > 0
    assert result["of_floor"] == pytest.approx(result["img_per_s"]["median"] / result["floor_img_per_s"])
    assert "bfloat16" in capsys.readouterr().out


def test_a_network_that_is_none_is_refused(bench, capsys):
    with pytest.raises(SystemExit):
        bench.generate.arguments(["--size", "huge", "8"])
    assert "--size huge 8: say tiny or full" in capsys.readouterr().err


def test_training_is_measured_with_phases_floor_and_profile(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench.train_step, "PROFILED", 1)
    options = ["--cycles", "1", "--compared", "1", "--aug", "0.5", "--profile"]
    bench.train_step.main([*TINY_RUN, *options, "--json", "--out", str(tmp_path)])
    result = written(tmp_path, "train_step")["results"]
    assert {phase: row["often"] for phase, row in result["phases"].items()} == {
        "Gmain": 1, "Greg": 1 / 4, "Dmain": 1, "Dreg": 1 / 16, "EMA and rest": 1,
    }  # fmt: skip
    assert sum(row["share"] for row in result["phases"].values()) == pytest.approx(1)
    assert result["s_per_kimg"] == pytest.approx(1000 / result["img_per_s"]["median"])
    assert result["ratio"] > 0
    assert all(seconds >= 0 for seconds in result["profile"]["groups"].values())
    out = capsys.readouterr().out
    assert "s/kimg" in out
    assert "resampling filters" in out


def test_comparing_leaves_the_proportions_of_the_phases_alone(bench):
    training = bench.train_step.Training(bench.train_step.arguments(TINY_RUN))
    spent, other = ({phase: [] for phase in ("Gmain", "Greg", "Dmain", "Dreg", "EMA and rest")} for _ in range(2))
    training.step()
    training.full_step(other)
    assert {phase: len(times) for phase, times in other.items()} == dict.fromkeys(other, 1)
    assert training.state.step == 1
    training.state.step = 16
    training.cycle(spent)
    assert [len(times) for times in spent.values()] == [16, 4, 16, 1, 16]
    assert training.state.step == 32


def results_of_ops():
    """Results of all ops on tensors that need gradients."""
    generator = torch.Generator().manual_seed(0)
    x, w, styles = (torch.randn(s, generator=generator) for s in ((2, 3, 8, 8), (3, 3, 3, 3), (2, 3)))
    x.requires_grad_(True)
    f = setup_filter([1, 3, 3, 1])
    return {
        "bias_act": bias_act(x, act="lrelu", clamp=1),
        "upsample2d": upsample2d(x, f),
        "conv2d_bias_act": conv2d_bias_act(x, w, torch.ones(3), f, down=2, padding=1, act="lrelu"),
        "modulated_conv2d": modulated_conv2d(x, w, styles, up=2, padding=1, resample_filter=f),
    }


def test_every_op_is_computed_by_its_definition_where_that_is_asked_for(bench):
    own = results_of_ops()
    with bench.ways.definitions():
        other = results_of_ops()
    for name, result in own.items():
        assert bench.ways.own_functions(result), name
        assert not bench.ways.own_functions(other[name]), name
        assert (result - other[name]).abs().max() < 1e-4, name
    assert all(bench.ways.own_functions(result) for result in results_of_ops().values())


def test_the_choice_is_put_back_when_a_comparison_fails(bench):
    before = choice.choose, sys.modules["sgtool.ops.bias_act"].choose
    with pytest.raises(ValueError, match="impl must be one of"), bench.ways.definitions():
        bias_act(torch.ones(2), impl="fastest")
    assert (choice.choose, sys.modules["sgtool.ops.bias_act"].choose) == before


def test_an_op_that_escapes_the_comparison_is_noticed(bench, monkeypatch):
    monkeypatch.setattr(sys.modules["sgtool.ops.bias_act"], "choose", lambda impl, x, *others: "plain")
    with pytest.raises(RuntimeError, match="did not take the place of _PiecewiseLinear"), bench.ways.definitions():
        pass


def test_kernels_are_left_out_where_plain_pytorch_is_asked_for(bench, monkeypatch):
    monkeypatch.setattr(choice, "KERNEL_DEVICES", ("cpu",))
    x = torch.ones(2)
    assert choice.choose("auto", x) == "kernels"
    with bench.ways.without_kernels():
        assert choice.choose("auto", x) == "plain"
    assert choice.choose("auto", x) == "kernels"


class Dense(TorchDispatchMode):
    """Counts the operations of ungrouped convolutions and matrix products that PyTorch really runs."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        y = f(*args, **(kwargs or {}))
        if f is aten.convolution.default and args[8] == 1:
            self.operations += self.of_convolution(args[0], args[1], y)
        if f is torch.ops.mkldnn._convolution_pointwise.default:
            self.operations += self.of_convolution(args[0], args[1], y)
        if f is aten.convolution_backward.default and args[9] == 1:
            self.operations += self.of_convolution(args[0], args[2], args[1]) * sum(args[10][:2])
        if f in (aten.mm.default, aten.addmm.default):
            a, b = args[-2:]
            self.operations += 2 * a.numel() * b.shape[1]
        return y

    def of_convolution(self, x, w, y):
        return 2 * w.numel() * len(x) * min(x[0, 0].numel(), y[0, 0].numel())


def test_the_counted_operations_are_those_that_a_step_runs(bench, monkeypatch):
    options = ["--resolution", "16", "--cbase", "512", "--cmax", "64", "--batch", "4"]
    training = bench.train_step.Training(bench.train_step.arguments(options))
    expected, step, run = training.operations(), bench.train_step.step, Counter()
    run_phase = step.run_phase

    def counted(phase, *others):
        with Dense() as mode:
            run_phase(phase, *others)
        run[phase.name] = mode.operations

    monkeypatch.setattr(step, "run_phase", counted)
    training.step()
    for phase, counts in expected.items():
        # More is run than counted where a gradient is computed that nothing asks for, and by style mixing's second latents; less
        # where there is nothing to go back to, as from the first layer or the last ones.
        assert 0.95 < run[phase] / (4 * sum(counts.values())) < 1.08, phase


def test_operations_are_counted_by_the_type_that_a_layer_computes_in(bench):
    half = bench.generate.make("tiny", 16, torch.device("cpu"), "bf16")
    full = bench.generate.make("tiny", 16, torch.device("cpu"), "fp32")
    counts, alone = bench.operations.of_generator(half), bench.operations.of_generator(full)
    assert counts.keys() == {torch.float32, torch.bfloat16}
    assert sum(counts.values()) == alone[torch.float32]
    ceilings = bench.ceilings.Ceilings(torch.device("cpu"))
    ceilings.gflop_per_s = {torch.float32: 2.0, torch.bfloat16: 4.0}
    assert ceilings.floor({torch.float32: 2e9, torch.bfloat16: 2e9}) == 1.5


def test_regularizers_count_as_often_as_they_run(bench):
    config = SimpleNamespace(batch_gpu=8, pl_batch_shrink=2, pl_weight=2, gamma=1, g_reg_interval=4, d_reg_interval=16)
    phases = bench.operations.of_phases(config, {"a": 100}, {"a": 10, "b": 1})
    assert phases["Greg"] == {"a": 300}
    assert phases["Dmain"] == {"a": 160, "b": 6}
    assert bench.operations.of_training(config, phases) == {"a": 320 + 300 / 4 + 160 + 60 / 16, "b": 2 + 6 + 6 / 16}
    config.pl_weight = config.gamma = 0
    assert bench.operations.of_training(config, phases) == {"a": 320 + 160, "b": 2 + 6}


def test_calls_are_timed_in_turn_and_no_longer_than_allowed(bench):
    order = []
    variants = {name: lambda name=name: order.append(name) for name in "ab"}
    times = bench.measure.seconds_of(variants, rounds=2)
    assert order == list("ababab")
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}
    assert len(bench.measure.seconds_of(variants, rounds=50, at_most=0)["a"]) == 1
    assert bench.measure.ratio([2.0, 9.0, 4.0], [1.0, 1.0, 1.0]) == 4


def profiled(bench, call):
    """{group: seconds} of a call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        call()
    return bench.breakdown.by_group(profiler.events(), wall=1.0)


def test_time_goes_to_the_group_of_the_op_that_takes_it(bench):
    groups, x, w = bench.breakdown, torch.randn(2, 16, 64, 64), torch.randn(16, 16, 3, 3)
    filters = torch.ones(16, 1, 4, 4)
    for group, call in {
        groups.DENSE: lambda: torch.conv2d(x, w),
        groups.FILTERS: lambda: torch.conv2d(x, filters, groups=16),
        groups.POINTWISE: lambda: torch.nn.functional.leaky_relu(x, 0.2).mul_(2),
        groups.COPIES: lambda: torch.cat([x, x]),
    }.items():
        call()
        seconds = profiled(bench, lambda call=call: [call() for _ in range(20)])
        assert sum(seconds.values()) == pytest.approx(1.0)
        assert max(groups.GROUPS, key=seconds.get) == group


def test_kernels_of_a_gpu_are_grouped_by_their_names_and_the_rest_is_idle(bench):
    names = {
        "void upfirdn2d_tile<float, 4>(...)": "FILTERS",
        "void bias_act<__half, 2>(...)": "POINTWISE",
        "sm90_xmma_fprop_implicit_gemm_f16": "DENSE",
        "void at::native::elementwise_kernel<add>": "POINTWISE",
        "void at::native::multi_tensor_apply_kernel<adam>": "OPTIMIZER",
        "Memcpy DtoD": "COPIES",
    }
    events = [SimpleNamespace(name=name, device_type=DeviceType.CUDA, self_device_time_total=1e5) for name in names]
    kernels = bench.breakdown.by_kernel([*events, SimpleNamespace(name="aten::add", device_type=DeviceType.CPU)])
    assert kernels.keys() == names.keys()
    assert {name: bench.breakdown.kernel_group(name) for name in names} == {
        name: getattr(bench.breakdown, group) for name, group in names.items()
    }
    assert bench.breakdown.by_kernel_group(kernels, wall=1.0)["idle"] == pytest.approx(0.4)


def test_the_commands_of_the_gpu_check_and_of_the_docs_are_ones_that_the_benchmarks_take(bench):
    commands = [step.command[1:] for step in bench.gpu_check.steps() if "benchmarks/" in str(step.command[1])]
    text = (BENCHMARKS.parent / "docs/performance.md").read_text(encoding="utf-8") + (BENCHMARKS.parent / "Makefile").read_text()
    commands += [line.split("python ", 1)[1].split("`")[0].split() for line in text.splitlines() if "python benchmarks/" in line]
    parsed = Counter()
    for path, *options in commands:
        name = Path(path).stem
        if name in ("ops", "generate", "train_step"):
            getattr(bench, name).arguments(list(map(str, options)))
            parsed[name] += 1
    assert min(parsed[name] for name in ("ops", "generate", "train_step")) >= 3


@pytest.fixture
def small_preparing(bench, monkeypatch):
    """The benchmark of prepare with small photographs, and its commands in this process."""

    def command(*options):
        prepare.main([*map(str, options), "--force", "--workers", "1"], standalone_mode=False)

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(bench.prepare, "PHOTO", (1056, 1056))
    monkeypatch.setattr(bench.prepare, "command", command)
    yield bench.prepare
    signal.signal(signal.SIGTERM, handler)


def test_preparing_and_reading_are_measured_in_seconds_and_core_seconds(small_preparing, tmp_path, capsys):
    options = ["--photos", "2", "--sprites", "200", "--small", "30", "--rounds", "2"]
    small_preparing.main([*options, "--json", "--out", str(tmp_path)])
    result = written(tmp_path, "prepare")["results"]
    for name, number in (("photographs", 2), ("sprites", 200), ("read 64x64 from a zip", 30), ("read 64x64 from memory", 30)):
        assert result[name]["per_s"]["high"] == pytest.approx(number / result[name]["seconds"]["low"])
        assert result[name]["seconds"]["count"] == 2
    assert result["ratio"] > 0
    assert 0 < result["difference"] < 1
    if sys.platform == "linux":
        assert result["photographs, plainly"]["core_seconds"] > 0
        assert result["memory"]["megabytes"] > 10
    assert "read 64x64 from memory" in capsys.readouterr().out


def test_faces_are_measured_beside_pillow_alone(bench, tmp_path, monkeypatch, capsys):
    """Without dlib: landmarks as a detector gives them, on a grey picture."""
    x = np.linspace(60, 140, 68)
    face = SimpleNamespace(box=(50, 50, 149, 149), landmarks=np.stack([x, 100 + 20 * np.sin(x)], axis=1))
    monkeypatch.setattr(bench.align, "Detector", lambda: SimpleNamespace(detect=lambda picture, **options: [face]))
    monkeypatch.setattr(bench.align, "SIZE", 32)
    monkeypatch.setattr(bench.align, "SAMPLES", 64)
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "a.png")
    bench.align.main(["--photos", str(tmp_path), "--rounds", "1", "--json", "--out", str(tmp_path)])
    result = written(tmp_path, "align")["results"]
    assert result["faces"] == 1
    assert result["align, 4096 samples"]["faces_per_s"]["median"] > 0
    assert result["PIL alone, 4096 samples"]["ratio"] == 1
    assert "1 faces, squares of" in capsys.readouterr().out


def test_faces_without_photographs_are_not_measured(bench, tmp_path):
    with pytest.raises(SystemExit, match="No photographs in"):
        bench.align.main(["--photos", str(tmp_path)])


def test_metrics_are_measured_each_in_its_own_process(bench, tmp_path, capsys):
    options = ["--rows", "60", "--columns", "8", "--threads", "1", "--only", "fid"]
    bench.metrics.main([*options, "--json", "--out", str(tmp_path)])
    result = written(tmp_path, "metrics")["results"]
    assert result.keys() == {"fid"}
    assert min(result["fid"].values()) > 0
    assert "core seconds" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fid", "kid", "kid-whole", "pr", "density", "swd", "msssim"])
def test_the_benchmark_of_metrics_gives_their_values(bench, name):
    args = bench.metrics.arguments(["--rows", "60", "--columns", "8", "--pictures", "4"])
    a, b = bench.metrics.features(args, 1), bench.metrics.features(args, 2)
    found = bench.metrics.measured(name, args)
    assert found["seconds"] > 0
    if name == "pr":
        assert found["value"] == bench.metrics.metrics.precision_recall(a, b)
    if name == "fid":
        assert found["value"] == pytest.approx(bench.metrics.metrics.frechet_distance_of(a, b))
    if name == "kid-whole":
        assert found["value"] == bench.metrics.metrics.kernel_distance(a, b, subset_size=None)


def test_projections_are_timed_and_scored_in_w_and_w_plus_and_tuned(bench, one_thread, tmp_path, capsys):
    shape, widths = {"c_dim": 0, "img_resolution": 8, "img_channels": 3}, {"channel_base": 64, "channel_max": 8}
    G = build_generator(z_dim=16, w_dim=16, **shape, mapping_kwargs={"num_layers": 1}, synthesis_kwargs=widths)
    snapshots.save(snapshots.Snapshot(G, D=build_discriminator(**shape, **widths)), tmp_path / "model.pkl")
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, [8, 8, 3], np.uint8)).save(tmp_path / f"img{i:08d}.png")
    options = ["--network", str(tmp_path / "model.pkl"), "--real", str(tmp_path), "--pictures", "2", "--trunc", "0.7"]
    steps = ["--num-steps", "6", "--timed-steps", "3", "--tuning-steps", "3"]
    bench.project.main([*options, *steps, "--perceptual", "discriminator", "--json", "--out", str(tmp_path)])
    results = written(tmp_path, "project")["results"]
    assert set(results) == {"time", "generated, psi 0.7", "real"}
    assert results["time"]["16"]["s"] == pytest.approx(results["time"]["16"]["ms_a_step"] * 6 / 1000)
    spaces = {"w", "w, own noise", "w+", "w+, own noise"}
    assert (set(results["generated, psi 0.7"]), set(results["real"])) == (spaces, spaces | {"tuned each", "tuned together"})
    for row in (*results["generated, psi 0.7"].values(), *results["real"].values()):
        assert row["psnr"]["low"] <= row["psnr"]["median"] <= row["psnr"]["high"] < 60
    assert "16 pictures take" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--only real: give the pictures with --real DATASET"):
        bench.project.main([*options[:2], "--only", "real"])


def test_results_name_files_without_their_folders(bench, tmp_path):
    options = {"network": Path("/home/me/model.pkl"), "real": "/data/held-out.zip", "device": "cpu", "out": tmp_path}
    bench.measure.write("any", options, {"seconds": 1.5}, tmp_path)
    assert written(tmp_path, "any")["options"] == {"network": "model.pkl", "real": "held-out.zip", "device": "cpu"}


def test_mixtures_agree_with_the_source_that_they_are(bench):
    pictures = np.random.default_rng(0).integers(0, 256, [6, 8, 8, 3], np.uint8)
    vectors = bench.mixing.shape_of(pictures)
    rows, columns = vectors[:3], vectors[3:]
    row, column = bench.mixing.agreement(np.repeat(rows[:, None], 3, axis=1), [rows, columns])
    assert row == pytest.approx(1)
    assert column < 0.5
    assert set(bench.mixing.crossovers(8)) == {"coarse", "fine"}
    assert set(bench.mixing.crossovers(14)) == {"coarse", "middle", "fine"}
