"""Other ways to compute the same: every op by its definition, or without the CUDA kernels. What figures are held against."""

import contextlib
import inspect
import sys

import torch

from sgtool.ops import bias_act, choice, conv2d_bias_act, modulated_conv2d, setup_filter, upsample2d


@contextlib.contextmanager
def definitions():
    """Have every op that may choose (impl="auto") computed by its definition (impl="reference"), wherever it is called.

    What decides in the ops are the functions of sgtool/ops/choice.py that take `impl`: they are replaced in each module that
    imported them, and put back at the end.

    Raises:
        RuntimeError: ops that were tried still took another way.
    """
    insisting = {name: _insisting(f) for name, f in vars(choice).items() if _decides(name, f)}
    originals = [
        (module, name, getattr(choice, name))
        for module in list(sys.modules.values())
        for name in insisting
        if module.__name__.startswith("sgtool.") and vars(module).get(name) is getattr(choice, name)
    ]
    try:
        for module, name, _ in originals:
            setattr(module, name, insisting[name])
        if own := own_functions(_all_ops()):
            raise RuntimeError(f"the definitions did not take the place of {', '.join(sorted(own))}; see benchmarks/ways.py")
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


@contextlib.contextmanager
def without_kernels():
    """Have every op that may choose computed in plain PyTorch, arranged for speed, where it would take the CUDA kernels."""
    devices, choice.KERNEL_DEVICES = choice.KERNEL_DEVICES, ()
    try:
        yield
    finally:
        choice.KERNEL_DEVICES = devices


OTHER_WAYS = {"reference": definitions, "plain": without_kernels}
IN_WORDS = {"reference": "with every op computed by its definition", "plain": "in plain PyTorch, without the CUDA kernels"}


def add_comparison(parser, count, default):
    """Add --against and --compared: what the project's own path is held against, and how often."""
    parser.add_argument(
        "--against", choices=list(OTHER_WAYS), default=None,
        help="reference: every op by its definition; plain: without CUDA kernels (default: reference, on cuda plain)",
    )  # fmt: skip
    parser.add_argument(
        "--compared", type=int, default=default, metavar="N",
        help=f"{count} that are done that way too; 0 = none (default: %(default)s)",
    )  # fmt: skip


def other_way(args):
    """Return the context manager that --against names."""
    args.against = args.against or ("plain" if args.device == "cuda" else "reference")
    return OTHER_WAYS[args.against]


def _decides(name, f):
    return not name.startswith("_") and inspect.isfunction(f) and next(iter(inspect.signature(f).parameters), None) == "impl"


def _insisting(decide):
    return lambda impl, *others: decide("reference" if impl == "auto" else impl, *others)


def _all_ops():
    """The result of ops one upon the other, as networks call them."""
    with torch.enable_grad():
        f = setup_filter([1, 3, 3, 1])
        x, w = torch.ones(2, 3, 8, 8, requires_grad=True), torch.ones(3, 3, 3, 3)
        x = modulated_conv2d(x, w, torch.ones(2, 3), up=2, padding=1, resample_filter=f)
        x = bias_act(x, torch.ones(3), act="lrelu", clamp=256, overwrite=True)
        x = conv2d_bias_act(x, w, torch.ones(3), f, down=2, padding=1, act="lrelu")
        return upsample2d(x, f)


def own_functions(y):
    """Return the names of sgtool's own autograd functions that led to `y`; the definitions use none but PyTorch's."""
    waiting, seen, found = [y.grad_fn], set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function = getattr(type(node), "_forward_cls", None)
        if function is not None and function.__module__.startswith("sgtool."):
            found.add(function.__name__)
        waiting += [following for following, _ in node.next_functions]
    return found
