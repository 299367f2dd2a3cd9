"""Geometric transforms of a batch of pictures, each in one resampling.

A picture is mirror-padded, up-sampled twofold (U), sampled bilinearly where the transform says (B), and down-sampled twofold
(D). All of it is linear, and U and D act on each axis alone. B does so too, unless a picture is rotated by something else than
quarter turns. Where it does, the whole transform is one small matrix per axis:

    result = (D B U) picture (D B U)^T

Only rotated pictures need the up-sampled picture itself, and only the window of it that they look at.
Karras et al., Training GANs with limited data (2020), appendix B.
"""

import torch
from torch.nn import functional as F

_BORDER = 6  # pixels: how much farther than the picture the padding and the canvas reach, for the filters' sake
_LAG = 0.5  # samples: sym6 is not symmetric, its weight lies half a sample before its middle, and so do the pixels it spreads


def resample(images, transforms, taps):
    """Apply one geometric transform per picture, in one resampling. Differentiable twice with respect to `images`.

    Args:
        images: `[N, C, H, W]` float32 or float64.
        transforms: `[N, 2, 3]` float64 on the CPU, from `draw_transforms`.
        taps: `[12]`, the resampling filter; an orthogonal wavelet's, so that the identity transform changes nothing.
    Returns:
        `[N, C, H, W]`, like `images`.
    """
    height, width = images.shape[2:]
    left, right, top, bottom = mirror_margins(transforms, height, width)
    x_axis = _Axis(width, left, right, taps.to(images))
    y_axis = x_axis if (height, top, bottom) == (width, left, right) else _Axis(height, top, bottom, taps.to(images))
    done, order = [], []
    for method, chosen in zip((_keep, _separable, _separable_turned, _general), _by_method(transforms), strict=True):
        if len(chosen) == len(images):
            return method(images, transforms, y_axis, x_axis)
        if len(chosen):
            index = chosen.to(images.device)
            done.append(method(images.index_select(0, index), transforms[chosen], y_axis, x_axis))
            order.append(chosen)
    return torch.cat(done).index_select(0, torch.cat(order).argsort().to(images.device))


def mirror_margins(transforms, height, width):
    """Give the mirror padding (left, right, top, bottom) in pixels: enough for all pictures of the batch, one amount for all.

    The centres of the four corner pixels are mapped into the input; the farthest of them on each side and 6 pixels more must
    lie on the padded picture. A picture is not mirrored more than once: at most size - 1 pixels.
    """
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[x, x, -x, -x], [y, -y, y, -y], [1, 1, 1, 1]], dtype=torch.float64)
    reached = transforms @ corners  # [N, 2, 4]
    size = torch.tensor([width, height], dtype=torch.float64)
    farthest = torch.stack([-reached.amin((0, 2)), reached.amax((0, 2))], dim=1)  # [axis, side]
    margins = (farthest + _BORDER - (size[:, None] - 1) / 2).minimum(size[:, None] - 1).clamp(min=0)
    return margins.ceil().int().flatten().tolist()


def _by_method(transforms):
    """Sort pictures by what their transform needs: nothing, one matrix per axis, the same after a quarter turn, everything."""
    across = (transforms[:, 0, 1] != 0) | (transforms[:, 1, 0] != 0)  # x depends on y or y on x
    along = (transforms[:, 0, 0] != 0) | (transforms[:, 1, 1] != 0)
    same = (transforms == torch.eye(2, 3, dtype=torch.float64)).all(2).all(1)
    return [kind.nonzero()[:, 0] for kind in (same, ~across & ~same, across & ~along, across & along)]


class _Axis:
    """One axis of the pictures: its padding and its resampling matrices.

    Attributes:
        samples: how many there are after padding and up-sampling: 2 (before + size + after).
        up: `[samples + 2, size]`, mirror padding and U, between two rows of zeros for what lies outside.
        canvas: how many samples B takes for one output row or column, centred on the picture.
        down: `[size, canvas]`, D.
    """

    def __init__(self, size, before, after, taps):
        padded = before + size + after
        self.samples, self.canvas = 2 * padded, 2 * (size + _BORDER)
        self.middle = 2 * before + size - 0.5 - _LAG  # where the middle of the picture lies, in samples from the first one
        folded = F.one_hot(mirror(size, before, after), size).to(taps)
        self.up = F.pad(banded(2 * taps, self.samples, padded, lambda row, column: row - 2 * column + 5) @ folded, (0, 0, 1, 1))
        self.down = banded(taps, size, self.canvas, lambda row, column: column - 2 * row - 1)

    def read_from(self, source, factor, shift):
        """Give D B U for this output axis where output position t reads `factor * t + shift` on the input axis `source`.

        Args:
            factor, shift: `[N]` float64 on the CPU; shift in pixels.
        Returns:
            `[N, size, source size]`.
        """
        out = torch.arange(self.canvas, dtype=torch.float64) - (self.canvas - 1) / 2 + _LAG
        position = factor[:, None] * out + (2 * shift + source.middle)[:, None]  # [N, canvas], in samples from the first
        lower = position.floor()
        weight = (position - lower)[:, :, None].to(source.up)
        rows = lower.clamp(-2, source.samples).long().to(weight.device) + 1  # in `up`, whose first row is a zero row
        neighbours = [source.up[(rows + k).clamp(0, source.samples + 1)] for k in (0, 1)]
        return self.down @ torch.lerp(*neighbours, weight)

    def window(self, extent, shift):
        """Give the stretches of samples that positions up to `extent` around `shift` need: (starts `[N]`, one length).

        Args:
            extent: `[N]`, in samples; shift: `[N]`, in pixels. Both float64 on the CPU.
        """
        middle = 2 * shift + self.middle
        first = (middle - extent).floor().clamp(0, self.samples - 1)
        last = ((middle + extent).floor() + 1).clamp(0, self.samples - 1)
        length = int((last - first).max()) + 1
        return first.clamp(max=self.samples - length).long(), length


def mirror(size, before, after):
    """Give the pixel that each one of a mirror-padded row repeats, the edge not counted twice: `[before + size + after]`."""
    period = max(2 * (size - 1), 1)
    place = torch.arange(-before, size + after).remainder(period)
    return place.minimum(period - place) if size > 1 else torch.zeros_like(place)


def banded(taps, rows, columns, tap):
    """Give the matrix whose element (row, column) is `taps[..., tap(row, column)]`, 0 where there is no such tap."""
    device = taps.device
    index = tap(torch.arange(rows, device=device)[:, None], torch.arange(columns, device=device)[None, :])
    inside = (index >= 0) & (index < taps.shape[-1])
    return taps[..., index.clamp(0, taps.shape[-1] - 1)] * inside


def _keep(images, transforms, y_axis, x_axis):
    return images


def _separable(images, transforms, y_axis, x_axis):
    """Without rotation: x depends on x alone, and y on y."""
    (xx, _, x), (_, yy, y) = (row.unbind(1) for row in transforms.unbind(1))
    return along_axes(images, y_axis.read_from(y_axis, yy, y), x_axis.read_from(x_axis, xx, x))


def _separable_turned(images, transforms, y_axis, x_axis):
    """With a quarter turn: x depends on y alone, and y on x."""
    (_, xy, x), (yx, _, y) = (row.unbind(1) for row in transforms.unbind(1))
    return along_axes(images.transpose(2, 3), y_axis.read_from(x_axis, xy, x), x_axis.read_from(y_axis, yx, y))


def _general(images, transforms, y_axis, x_axis):
    """With any rotation: up-sample the window that a picture needs, sample it, down-sample."""
    axes = (x_axis, y_axis)
    linear, shift = transforms[:, :, :2], transforms[:, :, 2] + transforms[:, :, :2].sum(2) * (_LAG / 2)
    extent = linear.abs() @ torch.tensor([axis.canvas - 1 for axis in axes], dtype=torch.float64) / 2
    starts, lengths = zip(*(axis.window(extent[:, i], shift[:, i]) for i, axis in enumerate(axes)), strict=True)
    up_x, up_y = (
        axis.up[(start[:, None] + torch.arange(length) + 1).to(images.device)]
        for axis, start, length in zip(axes, starts, lengths, strict=True)
    )
    grids = torch.empty_like(transforms)  # the same map, from canvas to window, both reaching from -1 to 1
    for i, (axis, start, length) in enumerate(zip(axes, starts, lengths, strict=True)):
        grids[:, i, :2] = linear[:, i] * torch.tensor([axis.canvas for axis in axes]) / length
        grids[:, i, 2] = 2 * (2 * shift[:, i] + axis.middle - start + 0.5) / length - 1
    grid = F.affine_grid(grids.to(images), [*images.shape[:2], y_axis.canvas, x_axis.canvas], align_corners=False)
    return along_axes(sample(along_axes(images, up_y, up_x), grid), y_axis.down, x_axis.down)


def along_axes(images, rows, columns):
    """Multiply each channel from both sides: rows @ channel @ columns^T; `rows` and `columns` are `[h, H]` or `[N, h, H]`."""
    n, channels, height, width = images.shape
    images = images.reshape(n, channels * height, width) @ columns.mT
    return rows.unsqueeze(-3) @ images.reshape(n, channels, height, -1)


def sample(images, grid):
    """Sample bilinearly, zeros outside, as `torch.nn.functional.grid_sample`, but any number of times differentiable.

    The result is linear in `images`, so its derivative is the transposed map, and that one's derivative the map again. No
    gradient flows to `grid`.

    Args:
        images: `[N, C, H, W]`.
        grid: `[N, h, w, 2]`, (x, y); -1 and 1 are the outer edges of the picture.
    Returns:
        `[N, C, h, w]`.
    """
    return _Sample.apply(images, grid)


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images, grid):
        ctx.save_for_backward(grid)
        ctx.size = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx, gradient):
        return _SampleTransposed.apply(gradient, ctx.saved_tensors[0], ctx.size), None


class _SampleTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, canvas, grid, size):
        ctx.save_for_backward(grid)
        unused = canvas.new_zeros(1).expand(size)  # only its shape matters, as the grid's gradient is not asked for
        bilinear, zeros = 0, 0
        return torch.ops.aten.grid_sampler_2d_backward(canvas, unused, grid, bilinear, zeros, False, [True, False])[0]

    @staticmethod
    def backward(ctx, gradient):
        return _Sample.apply(gradient, ctx.saved_tensors[0]), None, None
