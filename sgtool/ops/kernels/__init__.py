"""CUDA C++ kernels, and the arithmetic that decides how each is launched. Nothing here imports or needs CUDA.

The .cu files are compiled when they are first used (sgtool/ops/cuda.py); the functions below say which kernel runs on
which grid with which arguments, from shapes, strides and types alone.
"""

from sgtool.ops.kernels.bias_act import bias_act_grad2_launch, bias_act_grad_launch, bias_act_launch, saves_output
from sgtool.ops.kernels.launch import Launch
from sgtool.ops.kernels.upfirdn2d import upfirdn2d_launch
from sgtool.ops.kernels.variants import variants

__all__ = [
    "Launch",
    "bias_act_grad2_launch",
    "bias_act_grad_launch",
    "bias_act_launch",
    "saves_output",
    "upfirdn2d_launch",
    "variants",
]
