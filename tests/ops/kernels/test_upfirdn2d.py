"""The upfirdn2d kernels, run on the CPU, against the definition in float64."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgtool.ops import upfirdn2d
from sgtool.ops.kernels import upfirdn2d_launch, variants
from sgtool.ops.kernels.upfirdn2d import CASES, SPECIAL_TYPES, _plan, channels_kernel, tile_kernel

ROUNDING = {torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float32: 2**-24, torch.float64: 2**-53}
TYPES = st.sampled_from(list(ROUNDING))
RESIZED = {"upsample": ((2, 2), (1, 1)), "downsample": ((1, 1), (2, 2)), "same": ((1, 1), (1, 1))}


def values(shape, dtype, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def laid_out(x, layout):
    """The same values in another place in memory."""
    n, c, h, w = x.shape
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return x.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
    if layout == "sliced":
        large = torch.full([n, c, h + 1, 2 * w + 3], torch.nan, dtype=x.dtype)
        large[:, :, 1:, 3::2] = x
        return large[:, :, 1:, 3::2]
    if layout == "expanded":
        return x[:1, :1, :, :1].contiguous().expand(n, c, h, w)
    if layout == "wide_pixels":  # channels-last, but a part of a tensor with more channels
        return torch.cat([x, x, x], 1).contiguous(memory_format=torch.channels_last)[:, c : 2 * c]
    return x.contiguous()


def result_like(x, f, up, down, padding):
    height = (x.shape[2] * up[1] + padding[2] + padding[3] - f.shape[0]) // down[1] + 1
    width = (x.shape[3] * up[0] + padding[0] + padding[1] - f.shape[-1]) // down[0] + 1
    last = x.shape[1] > 1 and x.stride(1) == 1
    return torch.empty([*x.shape[:2], height, width], dtype=x.dtype).contiguous(
        memory_format=torch.channels_last if last else torch.contiguous_format
    )


def run(emulator, x, f, up, down, padding, flip_filter=False, gain=1.0, backward=False):
    """Run by one launch, or by two where that is what the launch function asks for. Returns y and the kernels' names."""
    y = result_like(x, f, up, down, padding)
    launch = upfirdn2d_launch(x, f, y, up, down, padding, flip_filter, gain)
    if launch is not None:
        emulator.run(launch, backward)
        return y, [launch.kernel]
    left, right, top, bottom = padding
    y, first = run(emulator, x, f[None, :], (up[0], 1), (down[0], 1), (left, right, 0, 0), flip_filter, gain, backward)
    y, second = run(emulator, y, f[:, None], (1, up[1]), (1, down[1]), (0, 0, top, bottom), flip_filter, 1.0, backward)
    return y, first + second


def check(emulator, x, f, up, down, padding, flip_filter=False, gain=1.0, backward=False):
    """Compare with the definition; return the names of the kernels that ran."""
    y, used = run(emulator, x, f, up, down, padding, flip_filter, gain, backward)

    def exact(x, f):
        return upfirdn2d(x.double(), f.double(), up, down, padding, flip_filter, gain, impl="reference")

    expected, size = exact(x, f), exact(x.abs(), f.abs()).abs()
    passes = len(used) if x.dtype in (torch.float16, torch.bfloat16) else 1
    sums = 2**-53 if x.dtype == torch.float64 else 2**-24
    allowed = ROUNDING[x.dtype] * (expected.abs() + (passes - 1) * size) + (f.numel() ** 2 + 8) * sums * size
    allowed += 2**-24 * (x.dtype == torch.float16)  # denormal numbers
    excess = (y.double() - expected).abs() / allowed.clamp(min=1e-300)
    assert y.shape == expected.shape
    assert bool((excess <= 1.01).all()), (used, float(excess.max()), int((~(excess <= 1.01)).sum()))
    return used


def fits(size, taps, up, padding):
    return all(
        size[1 - a] * up[a] + padding[2 * a] + padding[2 * a + 1] >= taps[a] and size[1 - a] > 0 for a in (0, 1)
    )  # size is (height, width), the others (x, y)


def names(case, dtype, separable=False):
    return channels_kernel(case, dtype), tile_kernel(case, separable, dtype)


@pytest.mark.parametrize("dtype", SPECIAL_TYPES, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.constants)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_each_specialised_kernel_runs_for_what_it_exists_for(emulator, case, dtype, layout):
    x = laid_out(values([2, 16, 9, 11], dtype), layout)
    f = values([case.taps[1], case.taps[0]], torch.float32, 1)
    padding = (case.taps[0], case.taps[0] - 1, case.taps[1] - 1, case.taps[1])
    used = check(emulator, x, f, case.up, case.down, padding, gain=0.7)
    assert used == [names(case, dtype)[layout == "contiguous"]]
    check(emulator, x, f, case.up, case.down, [n - 1 for n in padding], flip_filter=True, backward=True)


@pytest.mark.parametrize("dtype", SPECIAL_TYPES, ids=str)
@pytest.mark.parametrize("resized", RESIZED)
@pytest.mark.parametrize("taps", [4, 12])
def test_a_filter_for_both_axes_takes_one_launch(emulator, dtype, resized, taps):
    up, down = RESIZED[resized]
    case = CASES[up, down, (taps, taps)]
    f = values([taps], torch.float32, 1)
    used = check(emulator, values([2, 3, 13, 40], dtype), f, up, down, (taps - 2, taps, taps - 1, 1), gain=-1.3)
    assert used == [tile_kernel(case, taps == 12, dtype)]
    x = values([2, 8, 13, 7], dtype).contiguous(memory_format=torch.channels_last)
    used = check(emulator, x, f, up, down, (taps - 2, taps, taps - 1, 1), gain=-1.3)
    assert len(used) == (1 if taps == 4 else 2)
    assert all(name.startswith("upfirdn2d_channels<") for name in used)


def test_images_with_few_interleaved_channels_are_read_plane_by_plane(emulator):
    x = values([2, 3, 17, 9], torch.float16).contiguous(memory_format=torch.channels_last)
    used = check(emulator, x, values([4, 4], torch.float32, 1), (2, 2), (1, 1), (2, 1, 2, 1))
    assert used == [tile_kernel(CASES[(2, 2), (1, 1), (4, 4)], False, torch.float16)]


def test_channels_that_do_not_fill_vectors_take_the_general_kernel(emulator):
    for x in (values([2, 7, 5, 6], torch.float16), values([2, 9, 5, 6], torch.float16)[:, 1:]):
        x = x.contiguous(memory_format=torch.channels_last) if x.shape[1] == 7 else x
        check(emulator, x, values([4, 4], torch.float32, 1), (1, 1), (1, 1), (2, 1, 2, 1))
    x = values([2, 9, 5, 6], torch.float16).contiguous(memory_format=torch.channels_last)[:, 1:]  # 8 channels, not aligned
    used = check(emulator, x, values([4, 4], torch.float32, 1), (1, 1), (1, 1), (2, 1, 2, 1))
    assert used == ["upfirdn2d_general<float16, float, true>"]


factors = st.tuples(st.integers(1, 4), st.integers(1, 4))
paddings = st.lists(st.integers(-3, 9), min_size=4, max_size=4).map(tuple)
layouts = st.sampled_from(["contiguous", "channels_last", "transposed", "sliced", "expanded", "wide_pixels"])
drawn = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


@drawn
@given(
    shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3, 8, 9]), st.integers(1, 9), st.integers(1, 9)),
    taps=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    one_axis=st.booleans(),
    up=factors,
    down=factors,
    padding=paddings,
    flip_filter=st.booleans(),
    gain=st.sampled_from([1.0, 0.0, -2.5, 3.0]),
    dtype=TYPES,
    layout=layouts,
    backward=st.booleans(),
)
def test_any_factors_and_filters_give_the_definition(
    emulator, shape, taps, one_axis, up, down, padding, flip_filter, gain, dtype, layout, backward
):
    taps = (taps[0], taps[0]) if one_axis else taps
    if fits(shape[2:], taps, up, padding):
        f = values([taps[0]] if one_axis else [taps[1], taps[0]], torch.float32, 1)
        check(emulator, laid_out(values(shape, dtype), layout), f, up, down, padding, flip_filter, gain, backward)


@drawn
@given(
    case=st.sampled_from(list(CASES.values())),
    one_axis=st.booleans(),
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 2, 3, 5, 8, 16, 72]),
    size=st.tuples(*[st.sampled_from([1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33]) for _ in "hw"]),
    crop=st.lists(st.integers(-3, 3), min_size=4, max_size=4),
    flip_filter=st.booleans(),
    dtype=st.sampled_from(SPECIAL_TYPES),
    layout=layouts,
    backward=st.booleans(),
)
def test_specialised_kernels_give_the_definition(
    emulator, case, one_axis, batch, channels, size, crop, flip_filter, dtype, layout, backward
):
    around = [(case.taps[i // 2] - i % 2) // 2 for i in range(4)]
    padding = tuple(a + b for a, b in zip(around, crop, strict=True))
    if not fits(size, case.taps, case.up, padding) or batch * channels * size[0] * size[1] > 20000:
        return
    one_axis = one_axis and case.taps[0] == case.taps[1]
    f = values(case.taps[:1] if one_axis else case.taps[::-1], torch.float32, 1)
    x = laid_out(values([batch, channels, *size], dtype), layout)
    check(emulator, x, f, case.up, case.down, padding, flip_filter, 1.5, backward)


@pytest.mark.parametrize("resized", RESIZED)
@pytest.mark.parametrize("padding", [(2, 1, 2, 1), (1, 2, 3, 0)])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_tiles_of_large_pictures_meet_without_gaps(emulator, resized, padding, layout):
    up, down = RESIZED[resized]
    x = laid_out(values([1, 8 if layout == "channels_last" else 1, 67, 269], torch.float32), layout)
    check(emulator, x, values([4, 4], torch.float32, 1), up, down, padding)


def test_small_planes_share_blocks(emulator):
    x, f = values([40, 8, 4, 4], torch.float16), values([4, 4], torch.float32, 1)
    launch = upfirdn2d_launch(x, f, torch.empty_like(x), (1, 1), (1, 1), (2, 1, 2, 1), False, 1.0)
    assert np.prod(launch.grid) <= 10
    assert np.prod(launch.block) >= 64
    check(emulator, x, f, (1, 1), (1, 1), (2, 1, 2, 1))
    x = x.reshape(5, 64, 4, 4).contiguous(memory_format=torch.channels_last)
    launch = upfirdn2d_launch(x, f, torch.empty_like(x), (1, 1), (1, 1), (2, 1, 2, 1), False, 1.0)
    assert np.prod(launch.grid) == 5
    assert np.prod(launch.block) == 16


def test_more_planes_than_a_grid_has_are_looped_over(emulator, monkeypatch):
    monkeypatch.setattr("sgtool.ops.kernels.upfirdn2d.GRID_LIMIT", 2)
    f = values([4, 4], torch.float32, 1)
    _plan.cache_clear()
    try:
        for x in (values([7, 9, 70, 5], torch.float32), laid_out(values([7, 8, 70, 5], torch.float32), "channels_last")):
            check(emulator, x, f, (1, 1), (1, 1), (2, 1, 2, 1))
            check(emulator, x, f[:3], (1, 1), (1, 1), (2, 1, 2, 1))
    finally:
        _plan.cache_clear()


def test_a_float64_filter_is_used_in_full(emulator):
    f = values([3, 2], torch.float64, 1)
    x = values([1, 2, 5, 6], torch.float64)
    assert check(emulator, x, f, (2, 1), (1, 2), (1, 1, 2, 2)) == ["upfirdn2d_general<double, double, false>"]
    with pytest.raises(TypeError, match="float32"):
        upfirdn2d_launch(x.float(), f, x.float(), (1, 1), (1, 1), (0, 0, 0, 0), False, 1.0)


def test_infinity_spreads_no_further_than_the_filter(emulator):
    for layout in ("contiguous", "channels_last"):
        for taps in (4, 12):
            x = torch.zeros([1, 8, 24, 24])
            x[:, :, 12, 12] = torch.inf
            f = torch.ones([taps, taps])
            y, _ = run(emulator, laid_out(x, layout), f, (2, 2), (1, 1), (taps // 2, taps // 2 - 1) * 2)
            assert int(torch.isinf(y).sum()) == 8 * taps * taps
            assert not bool(torch.isnan(y).any())


def test_unsupported_types_and_sizes_are_refused():
    x, f = torch.zeros([1, 1, 4, 4]), torch.ones([1, 1])
    with pytest.raises(TypeError, match="float16, bfloat16, float32, float64"):
        upfirdn2d_launch(x.int(), f, x.int(), (1, 1), (1, 1), (0, 0, 0, 0), False, 1.0)
    with pytest.raises(NotImplementedError, match="samples along an axis"):
        upfirdn2d_launch(x, f, x, (1, 1), (1, 1), (2**30, 0, 0, 0), False, 1.0)


def test_every_variant_has_been_run(emulator):
    """Stands last: the tests above are to reach each kernel of upfirdn2d."""
    for dtype, f_type in ((t, torch.float32) for t in ROUNDING):
        for layout in ("contiguous", "channels_last"):
            check(
                emulator, laid_out(values([2, 5, 6, 7], dtype), layout), values([3, 3], f_type, 1), (3, 3), (2, 2), (1, 1, 2, 2)
            )
    x = laid_out(values([2, 5, 6, 7], torch.float64), "channels_last")
    check(emulator, x, values([3, 3], torch.float64, 1), (1, 2), (3, 2), (1, 1, 2, 2))
    x = values([2, 5, 6, 7], torch.float64)
    check(emulator, x, values([3, 3], torch.float64, 1), (1, 2), (3, 2), (1, 1, 2, 2))
    for case in CASES.values():
        for dtype in SPECIAL_TYPES:
            for layout in ("contiguous", "channels_last"):
                x = laid_out(values([1, 8, 5, 6], dtype), layout)
                check(emulator, x, values(case.taps[::-1], torch.float32, 1), case.up, case.down, (5, 6, 6, 5))
                if case.taps[0] == case.taps[1]:
                    check(emulator, x, values(case.taps[:1], torch.float32, 1), case.up, case.down, (5, 6, 6, 5))
    assert {v for v in variants() if v[0].startswith("upfirdn2d")} <= emulator.used
