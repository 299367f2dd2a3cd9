"""What can be asked of `sgtool project`."""

from dataclasses import dataclass

SPACES = ("w", "w+", "pti")


@dataclass(frozen=True)
class Request:
    """A projection as it is asked for.

    Attributes:
        network: model file, run folder, URL or known name.
        target: a picture, or a folder, zip or other collection of pictures.
        outdir: folder for the results.
        space: "w", "w+", or "pti": W, then the network is tuned around it.
        num_steps, seed, patience: see `settings.Settings`.
        tuning_steps, tuning_rate: steps of the tuning and their learning rate; None = as published.
        tune: "each": a tuned network for each picture; "together": one for all.
        perceptual: "auto", "lpips", "discriminator" or "pixels", see `perceptual.choose`.
        weights: file with VGG16's weights, or None.
        label: class number, "auto" or None.
        align: "faces": the largest face is cut out first, or None.
        landmarks: file of the landmark model, or None.
        background: a colour as text under transparent pixels; None = white.
        batch: pictures projected together; None = as many as suits their size.
        video: write proj.mp4; None: where one picture is asked for and a video can be written.
        fps: frames a second.
        preview: seconds between two previews; None = none.
        strict: refuse a target that cannot be read, or has no face, instead of leaving it out.
        device, precision, offline: as for `model.open_model`.
    """

    network: str
    target: str
    outdir: str
    space: str = "w"
    num_steps: int = 1000
    seed: int = 303
    patience: int = 0
    tuning_steps: int | None = None
    tuning_rate: float | None = None
    tune: str = "each"
    perceptual: str = "auto"
    weights: str | None = None
    label: int | str | None = None
    align: str | None = None
    landmarks: str | None = None
    background: str | None = None
    batch: int | None = None
    video: bool | None = None
    fps: float = 10
    preview: float | None = None
    strict: bool = False
    device: str = "cpu"
    precision: str = "auto"
    offline: bool = False
