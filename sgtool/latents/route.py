"""What a user says of a walk, and how many frames and keyframes that makes."""

import dataclasses

import numpy as np

from sgtool.errors import UserError

KINDS = {  # and the options that only they have
    "latents": ("interp", "space"),
    "mix": ("interp", "space", "styles_from", "styles"),
    "noise": ("smooth",),
    "trunc": ("sweep",),
    "edit": ("directions", "direction", "strength"),
}
DEFAULTS = {"interp": "cubic", "space": "w", "smooth": 1.0, "sweep": (0.0, 1.0), "direction": "0", "strength": 3.0}


@dataclasses.dataclass(frozen=True)
class Route:
    """What a user says of a walk; None = not said. See `KINDS` for which belongs to which."""

    kind: str = "latents"
    interp: str | None = None  # "cubic", "linear" or "slerp"
    space: str | None = None  # "w" or "z"
    grid: tuple = (1, 1)  # (columns, rows) of walks side by side
    num_keyframes: int | None = None  # of each cell
    shuffle_seed: int | None = None
    w_frames: int | None = None  # from one keyframe to the next
    seconds: float | None = None  # of the whole, instead of w_frames
    loop: bool = True
    smooth: float | None = None  # seconds
    sweep: tuple | None = None  # (psi, psi)
    styles_from: list | None = None  # one latent
    styles: object = None  # layers, as `options.LAYERS` gives them
    directions: str | None = None  # file
    direction: str | None = None  # name or number
    strength: float | None = None  # standard deviations of W

    def checked(self):
        """Return it with the defaults of its kind.

        Raises:
            UserError: an option of another kind is given, one of its own is missing, or a number is out of range.
        """
        own = KINDS[self.kind]
        for name in sorted({name for names in KINDS.values() for name in names} - set(own)):
            if getattr(self, name) is not None:
                kinds = " or ".join(f"--walk {kind}" for kind, names in KINDS.items() if name in names)
                raise UserError(f"--{name.replace('_', '-')} is for {kinds}. Give that, or leave it out.")
        for name in ("styles_from", "styles", "directions"):
            if name in own and getattr(self, name) is None:
                raise UserError(f"--walk {self.kind} needs --{name.replace('_', '-')}. See sgtool video --help.")
        for name in ("num_keyframes", "shuffle_seed"):
            if self.kind == "noise" and getattr(self, name) is not None:
                raise UserError(f"--{name.replace('_', '-')}: --walk noise has no keyframes. Leave it out.")
        for name in ("seconds", "smooth", "strength", "sweep"):
            if not np.isfinite(getattr(self, name) or 0).all():
                raise UserError(f"--{name}: that is no number to work with. Give a finite one.")
        if self.seconds is not None and self.w_frames is not None:
            raise UserError("--seconds and --w-frames both say how long the video is. Give one of them.")
        return dataclasses.replace(self, **{name: DEFAULTS[name] for name in own if name in DEFAULTS and self._open(name)})

    def _open(self, name):
        return getattr(self, name) is None


@dataclasses.dataclass
class Walk:
    """Latents of all frames, not yet computed."""

    frames: int
    stream: object  # iterator of `[num_ws, w_dim]`: frame by frame, in each the cells row by row
    recipe: dict


def cells_of(route, number):
    """Return which latents each cell shows: `[cells, keyframes]` numbers below `number`."""
    columns, rows = route.grid
    cells, each = columns * rows, route.num_keyframes
    if each is None:
        if number % cells:
            raise UserError(
                f"{number} latents cannot be shared out evenly among the {cells} cells of --grid {columns}x{rows}. "
                f"Give {cells} or a multiple of it, or say --num-keyframes, and they are used again."
            )
        each = number // cells
    chosen = np.arange(cells * each) % number
    if route.shuffle_seed is not None:
        np.random.RandomState(route.shuffle_seed).shuffle(chosen)
    if route.kind in ("latents", "mix") and each < 2:
        raise UserError(
            f"A walk needs two latents or more in each cell of --grid {columns}x{rows}, and there is one. "
            f"Give at least {2 * cells}, like --seeds 0-{2 * cells - 1}."
        )
    return chosen.reshape(cells, each)


def frames_of(route, fps, steps):
    """Return the number of frames of a walk of `steps` keyframe intervals."""
    if route.seconds is not None:
        return max(2, round(route.seconds * fps))
    return max(2, round(steps * (route.w_frames or 120)) + (0 if route.loop else 1))


def times_of(route, frames):
    """Yield the time of each frame, 0..1; a loop leaves out 1, which is 0 again."""
    return (i / (frames if route.loop else frames - 1) for i in range(frames))
