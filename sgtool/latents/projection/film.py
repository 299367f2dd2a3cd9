"""The video of a projection: the target beside what the latents showed after each step."""

import numpy as np

from sgtool.errors import UserError
from sgtool.latents.encode import open_writer
from sgtool.latents.encode_ffmpeg import executable
from sgtool.latents.generate import render

LARGE = 256  # pixels: smaller pictures are enlarged to about this


def refusal():
    """Return why no video can be written here, None if one can."""
    try:
        executable("proj.mp4")
    except UserError as error:
        return error.message
    return None


def write_film(path, G, target, latents, fps, recipe):
    """Write the video of one picture, frame by frame.

    The pictures are those of the network's own noise maps, as `proj.png` is. Small ones are enlarged, each pixel a block of
    its own: videos store colours at half the resolution.

    Args:
        path: the video.
        G: generator.
        target: uint8 `[H, W, C]`.
        latents: iterable of `[num_ws, w_dim]`, one for each step.
        fps: frames a second.
        recipe: dict.
    """
    height, width, channels = target.shape
    block = max(1, LARGE // max(height, width))
    with open_writer(path, (height * block, 2 * width * block), fps, channels, recipe=recipe) as video:
        for picture in render(G, latents):
            pair = np.concatenate([target, picture], axis=1)
            video.put(pair.repeat(block, axis=0).repeat(block, axis=1))
