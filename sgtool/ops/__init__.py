"""The differentiable operations that StyleGAN networks are made of.

Each takes `impl`: "reference" is the definition in a few lines of PyTorch, "auto" the fastest path for the device,
"cuda" insists on the fused kernels. All of them can be differentiated twice.
"""

from sgtool.ops.bias_act import ACTIVATIONS, PIECEWISE_LINEAR, bias_act
from sgtool.ops.convolution import conv2d_bias_act, conv2d_resample
from sgtool.ops.modulation import modulated_conv2d
from sgtool.ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "ACTIVATIONS",
    "PIECEWISE_LINEAR",
    "bias_act",
    "conv2d_bias_act",
    "conv2d_resample",
    "downsample2d",
    "filter2d",
    "modulated_conv2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
