"""Where the time goes: what torch.profiler saw, in groups that a reader of the networks knows."""

from collections import Counter

from torch.autograd import DeviceType

DENSE, FILTERS, POINTWISE = "dense convolutions and matrix products", "resampling filters", "activations and scaling"
COPIES, OPTIMIZER, OTHER, OUTSIDE = "copies and layout", "optimizer and averages", "other ops", "not in ops (Python, dispatch)"
GROUPS = (DENSE, FILTERS, POINTWISE, COPIES, OPTIMIZER, OTHER)

PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::addbmm", "aten::baddbmm"}
ARITHMETIC = {
    "abs", "add", "addcmul", "aminmax", "clamp", "clamp_min", "clamp_max", "div", "exp", "ge", "gt", "le", "leaky_relu",
    "leaky_relu_backward", "lerp", "linalg_vector_norm", "lt", "masked_fill", "max", "mean", "min", "mul", "neg", "pow",
    "reciprocal", "rsqrt", "sigmoid", "sign", "softplus", "softplus_backward", "sqrt", "square", "sub", "sum", "where",
}  # fmt: skip
MOVING = {"cat", "clone", "constant_pad_nd", "copy", "fill", "flip", "gather", "index", "index_select", "stack", "zero", "zeros"}
ONE_PASS = "mkldnn::_convolution_pointwise"  # of oneDNN: a dense convolution, bias and activation at once
GROUPS_ARGUMENT = {"aten::convolution": 8, "aten::convolution_backward": 9}  # the place of `groups` among the arguments
KERNELS = (  # words in the names of CUDA kernels, the first that fits decides
    (FILTERS, ("upfirdn2d", "up_fir_down", "depthwise", "dgrad2d_c1", "wgrad2d_c1")),
    (POINTWISE, ("bias_act",)),
    (OPTIMIZER, ("multi_tensor", "adam")),
    (DENSE, ("conv", "gemm", "cutlass", "xmma", "cudnn", "implicit", "nvjet", "wgrad", "dgrad", "fprop")),
    (COPIES, ("copy", "memcpy", "memset", "catarray", "fillfunctor", "nchwtonhwc", "nhwctonchw", "index")),
    (POINTWISE, ("elementwise", "reduce", "norm")),
)


def by_group(events, wall):
    """Sum up the time that a CPU spent in ops.

    A convolution's time includes the copies of its operands. What autograd functions and Python take besides the ops that they
    call is in no op.

    Args:
        events: `profile.events()`, recorded with shapes.
        wall: seconds that went by.
    Returns:
        {group: seconds}, which sum up to `wall`.
    """
    seconds = Counter(dict.fromkeys(GROUPS, 0.0))
    for event in events:
        if event.device_type == DeviceType.CPU and event.name.startswith(("aten::", ONE_PASS)):
            seconds[group_of(event)] += event.self_cpu_time_total / 1e6
    return dict(seconds) | {OUTSIDE: max(wall - seconds.total(), 0.0)}


def group_of(event):
    """The group of an op: that of the convolution or optimizer that it is part of, or else what it does itself."""
    part = event
    while part is not None:
        if part.name == ONE_PASS:
            return DENSE
        if part.name in GROUPS_ARGUMENT:
            return DENSE if part.concrete_inputs[GROUPS_ARGUMENT[part.name]] == 1 else FILTERS
        if part.name.startswith("Optimizer.") or part.name.startswith("aten::_foreach"):
            return OPTIMIZER
        part = part.cpu_parent
    name = event.name.removeprefix("aten::").rstrip("_")
    if event.name in PRODUCTS:
        return DENSE
    return POINTWISE if name in ARITHMETIC else COPIES if name in MOVING else OTHER


def by_kernel(events):
    """{name: (seconds, count)} of what a GPU did, the longest first."""
    seconds, counts = Counter(), Counter()
    for event in events:
        if event.device_type == DeviceType.CUDA:
            seconds[event.name] += event.self_device_time_total / 1e6
            counts[event.name] += 1
    return {name: (spent, counts[name]) for name, spent in seconds.most_common()}


def by_kernel_group(kernels, wall):
    """Sum up what `by_kernel` found; what is left of the `wall` seconds the GPU was idle."""
    seconds = Counter(dict.fromkeys(GROUPS, 0.0))
    for name, (spent, _) in kernels.items():
        seconds[kernel_group(name)] += spent
    return dict(seconds) | {"idle": max(wall - seconds.total(), 0.0)}


def kernel_group(name):
    """The group of a CUDA kernel, judged by its name."""
    lower = name.lower()
    return next((group for group, words in KERNELS if any(word in lower for word in words)), OTHER)
