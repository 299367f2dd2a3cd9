"""Videos of walks through latent space."""

import itertools
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.latents.encode import check_output, open_writer
from sgtool.latents.encode_plan import fastest
from sgtool.latents.generate import LARGEST_BATCH, picture_size, render
from sgtool.latents.model import open_model
from sgtool.latents.walks import plan_walk

FPS = 60  # where the format can show it
LARGEST_FRAME = 1 << 28  # bytes
BATCH_PIXELS = 1 << 17  # computed at once on a CPU, which gains a fifth from more: two pictures of 256x256


def write_video(
    network, output, items, route, *,
    fps=None, label=None, noise_mode="const", truncation_psi=1.0, truncation_cutoff=None, enlarge=1, gap=0, codec=None,
    quality=None, background=(255, 255, 255), batch=None, device="cpu", precision="auto", offline=False, progress=False,
    warn=warnings.warn, say=lambda text: None,
):  # fmt: skip
    """Write the video of a walk. Frames are computed and encoded one after the other: memory does not grow with their number.

    Args:
        network: model file, run folder, URL or known name, see `snapshots.find`.
        output: file to write, whose ending says which format, or a folder for frames; see `encode.open_writer`.
        items: latents as `grammar.parse_latents` gives them; whole numbers are seeds.
        route: `Route`: which walk.
        fps: frames a second; None = 60, or as many as the format can show.
        label: class number of seeds that name none; None for a network without labels.
        noise_mode: "const", "none", or "random": other noise in each picture.
        truncation_psi, truncation_cutoff: of seeds, as for `generate`.
        enlarge: each pixel becomes a block of so many pixels a side.
        gap: pixels between the cells of a grid, black (transparent).
        codec, quality, background: see `encode.open_writer`.
        batch: pictures computed at once; None: on a CPU as many as make 131,072 pixels, else as in `generate`.
        device, precision, offline: see `open_model`.
        progress: show a bar with rate and time left on stderr.
        warn: called with the text of each warning.
        say: called with lines on what differs from what was asked.
    Returns:
        (number of frames, their seconds).
    Raises:
        UserError: whatever the user can mend.
    """
    output, fps = Path(output), min(FPS, fastest(output)) if fps is None else fps
    route = route.checked()
    if route.kind == "trunc" and truncation_psi != 1:
        raise UserError(f"--trunc {truncation_psi:g}: --walk trunc changes the truncation, from and to what --sweep says.")
    check_output(output, fps, codec, quality)
    path = snapshots.find(network, offline=offline, progress=progress, say=say)
    model = open_model(path, device=device, precision=precision, warn=warn, say=say)
    cells = Cells(route.grid, picture_size(model.G), model.G.img_channels, enlarge, gap)
    look = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    told = {"warn": warn, "say": say, "progress": progress}
    walk = plan_walk(route, items, model, output.parent, fps, label=label, look=look, **told)
    recipe = {**model.recipe(), "walk": route.kind, **walk.recipe, "frames": walk.frames, "fps": fps, "loop": route.loop}
    recipe |= {"grid": list(route.grid), "noise_mode": noise_mode, "enlarge": enlarge, "gap": gap}
    writing = {"codec": codec, "quality": quality, "background": background, "loop": route.loop, "recipe": recipe, "say": say}
    with open_writer(output, cells.size, fps, cells.channels, **writing) as video:
        say(f"Computing {walk.frames} frames in {model.computed_in} on {model.device}.")
        pictures = render(model.G, walk.stream, noise_mode=noise_mode, batch=batch or _batch(model))
        for _ in tqdm(range(walk.frames), unit="frame", disable=None if progress else True):
            video.put(cells.frame(itertools.islice(pictures, cells.number)))
    return walk.frames, walk.frames / fps


def _batch(model):
    """Return how many pictures to compute at once; None leaves it to `render`."""
    if model.device.type != "cpu":
        return None
    height, width = picture_size(model.G)
    return max(1, min(LARGEST_BATCH, BATCH_PIXELS // (height * width)))


class Cells:
    """Where on a frame each walk is shown."""

    def __init__(self, grid, size, channels, enlarge, gap):
        """Lay them out.

        Args:
            grid: (columns, rows).
            size: (height, width) of a picture.
            channels: of a picture.
            enlarge: each pixel becomes a block of so many pixels a side.
            gap: pixels between cells, black (transparent).
        Raises:
            UserError: the frame would be too large to be put together in memory.
        """
        self.columns, self.rows = grid
        self.number, self.channels, self.enlarge = self.columns * self.rows, channels, enlarge
        self.pitch = [side * enlarge + gap for side in size]
        self.size = self.rows * self.pitch[0] - gap, self.columns * self.pitch[1] - gap
        if self.size[0] * self.size[1] * channels > LARGEST_FRAME:
            raise UserError(f"Frames of {self.size[1]}x{self.size[0]} are too large. Give a smaller --grid or --enlarge.")

    def frame(self, pictures):
        """Return one frame `[H, W, C]` of the pictures of its cells, row by row; uint8."""
        frame = np.zeros([*self.size, self.channels], np.uint8)
        for index, picture in zip(range(self.number), pictures, strict=True):
            y, x = (place * pitch for place, pitch in zip(divmod(index, self.columns), self.pitch, strict=True))
            picture = picture.repeat(self.enlarge, axis=0).repeat(self.enlarge, axis=1)
            frame[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        return frame
