"""training_options.json as a table: sgtool's, with the reason for each value, and NVIDIA's under the same names."""

import json
from dataclasses import dataclass, field

from sgtool.reporting.history import NAN
from sgtool.reporting.tail import number, read_json

LONGEST = 300  # letters of a value
MOST_ROWS = 400

# What NVIDIA's training scripts call it -> what it is called here.
NVIDIAS = {
    "total_kimg": "kimg",
    "batch_size": "batch",
    "ada_target": "target",
    "augment_p": "p",
    "random_seed": "seed",
    "kimg_per_tick": "tick",
    "network_snapshot_ticks": "snap",
    "num_gpus": "gpus",
    "loss_kwargs.r1_gamma": "gamma",
    "loss_kwargs.pl_weight": "pl_weight",
    "loss_kwargs.style_mixing_prob": "style_mixing_prob",
    "G_opt_kwargs.lr": "glr",
    "D_opt_kwargs.lr": "dlr",
    "G_kwargs.z_dim": "z_dim",
    "G_kwargs.w_dim": "w_dim",
    "G_kwargs.mapping_kwargs.num_layers": "map_depth",
    "G_kwargs.synthesis_kwargs.channel_base": "channel_base",
    "G_kwargs.synthesis_kwargs.channel_max": "channel_max",
    "G_kwargs.channel_base": "channel_base",
    "G_kwargs.channel_max": "channel_max",
    "D_kwargs.block_kwargs.freeze_layers": "freezed",
    "D_kwargs.epilogue_kwargs.mbstd_group_size": "mbstd_group",
    "training_set_kwargs.path": "data",
    "training_set_kwargs.xflip": "mirror",
}


@dataclass
class Settings:
    """The configuration of a run.

    Attributes:
        values: {name: plain value}.
        reasons: {name: why}, those that are told.
        program: who wrote it: "sgtool 0.1.0", "NVIDIA's", or "".
    """

    values: dict = field(default_factory=dict)
    reasons: dict = field(default_factory=dict)
    program: str = ""

    def number(self, name):
        """A value as a float; NaN if it is no number."""
        return number(self.values.get(name))

    def cell(self):
        """(height, width) of a picture, None if it is not told."""
        size = self.number("height"), self.number("width")
        return tuple(map(int, size)) if all(1 <= side <= 1 << 16 for side in size) else None

    def rows(self):
        """Return [(name, value as text, reason)]."""
        told = [(name, value) for name, value in self.values.items() if value is not None]
        return [(name, as_text(value), self.reasons.get(name, "")) for name, value in told[:MOST_ROWS]]


def read_settings(folder):
    """Return the `Settings` of a run folder; empty ones where there is no file that can be read."""
    stored = read_json(folder, "training_options.json")
    if isinstance(stored.get("config"), dict):
        reasons = stored.get("reasons")
        texts = {str(k): str(v)[:LONGEST] for k, v in reasons.items()} if isinstance(reasons, dict) else {}
        extra = {name: stored[name] for name in ("data", "device", "resumed_snapshot", "torch_version") if name in stored}
        return Settings(extra | stored["config"], texts, f"sgtool {str(stored.get('sgtool_version', ''))[:30]}".strip())
    if "training_set_kwargs" in stored or "G_kwargs" in stored:
        flat = {NVIDIAS.get(name, name): value for name, value in flattened(stored)}
        side = flat.get("training_set_kwargs.resolution")
        return Settings({"height": side, "width": side} | flat, {}, "NVIDIA's code")
    return Settings(dict(flattened(stored)))


def flattened(values, before=""):
    """Yield (dotted name, value) of nested dicts."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flattened(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def as_text(value):
    """Write a plain value for people."""
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def differing(runs):
    """Return [(name, [text for each run])] for the values in which runs differ; a run that does not tell has a dash.

    Args:
        runs: list of `Settings`.
    """
    texts = [{name: text for name, text, _ in settings.rows()} for settings in runs]
    names = list(dict.fromkeys(name for text in texts for name in text))
    rows = [(name, [text.get(name, "–") for text in texts]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def reached(nimg_kimg, settings):
    """Return (share of the run that is done from 0 to 1, its length in kimg); NaN where it is not told."""
    total = settings.number("kimg")
    return (min(nimg_kimg / total, 1.0), total) if total > 0 else (NAN, NAN)
