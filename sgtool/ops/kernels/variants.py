"""Every kernel that a launch can ask for."""

import torch

from sgtool.ops.kernels import bias_act, upfirdn2d
from sgtool.ops.kernels.launch import TYPES


def variants():
    """Return [(source, kernel expression)], each once."""
    return [*_bias_act(), *_upfirdn2d()]


def _bias_act():
    for dtype in TYPES.values():
        for number, act in enumerate(bias_act.ACTIVATIONS):
            for order in range(2 if act in bias_act.PIECEWISE_LINEAR else 3):
                for name in ("bias_act", "bias_act_strided"):
                    for index in ("index32", "index64"):
                        yield bias_act.SOURCE, f"{name}<{dtype}, {number}, {order}, {index}>"


def _upfirdn2d():
    for dtype in upfirdn2d.SPECIAL_TYPES:
        for case in upfirdn2d.CASES.values():
            yield "upfirdn2d_channels.cu", upfirdn2d.channels_kernel(case, dtype)
            yield "upfirdn2d_tile.cu", upfirdn2d.tile_kernel(case, False, dtype)
            if case.taps == (12, 12):
                yield "upfirdn2d_tile.cu", upfirdn2d.tile_kernel(case, True, dtype)
    pairs = [(dtype, torch.float32) for dtype in TYPES] + [(torch.float64, torch.float64)]
    for dtype, f_type in pairs:
        for interleaved in (False, True):
            yield "upfirdn2d_general.cu", upfirdn2d.general_kernel(dtype, f_type, interleaved)
