"""Shapes and paddings of upfirdn2d, and what they become in its adjoint."""


def resampled_shape(shape, taps, up, down, padding):
    """Return the shape of the result of upfirdn2d.

    Args:
        shape: [N, C, H, W] of the input.
        taps: (width, height) of the filter.
        up, down: (x, y).
        padding: (left, right, top, bottom).
    """
    n, c, height, width = shape
    left, right, top, bottom = padding
    height = (height * up[1] + top + bottom - taps[1]) // down[1] + 1
    width = (width * up[0] + left + right - taps[0]) // down[0] + 1
    return [n, c, height, width]


def adjoint_padding(shape, out_shape, taps, up, down, padding):
    """Return the padding with which upfirdn2d, with up and down exchanged, leads from the result's shape to the input's.

    Args:
        shape, out_shape: [N, C, H, W] of the input and of the result.
        taps, up, down, padding: of the op whose adjoint is wanted, as in `resampled_shape`.
    """
    left, top = taps[0] - 1 - padding[0], taps[1] - 1 - padding[2]
    right = (shape[3] - 1) * up[0] + taps[0] - out_shape[3] * down[0] - left
    bottom = (shape[2] - 1) * up[1] + taps[1] - out_shape[2] * down[1] - top
    return left, right, top, bottom
