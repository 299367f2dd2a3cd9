"""From two models to a snapshot and sheets, step by step."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.grammar import Seed
from sgtool.latents.blending.checks import check_cut, check_models, check_places, check_wishes
from sgtool.latents.blending.origin import in_words, provenance, told_relation
from sgtool.latents.blending.sheets import Column, gather_rows, write_columns
from sgtool.latents.model import Model, open_model
from sgtool.networks import set_precision
from sgtool.networks.blend import blend, cut_weights, resolutions

SEEDS = tuple(Seed(number) for number in range(8))  # shown if nothing is said


@dataclass
class Blended:
    """What was written: paths, None for what was not asked for."""

    out: Path | None
    preview: Path | None
    sweep: Path | None
    words: str  # which blocks of the blend are whose; "" without one


def blend_files(
    a, b, *, out=None, at=None, width=0.0, weights=None, mapping="a", preview=None, sweep=None, seeds=SEEDS, label=None,
    truncation_psi=1.0, truncation_cutoff=None, noise_mode="const", device="cpu", precision="auto", batch=None, enlarge=1, gap=0,
    offline=False, progress=False, warn=warnings.warn, say=lambda text: None,
):  # fmt: skip
    """Write a blend of two models as a snapshot, a sheet `A | blend | B`, and a sheet of all cuts; see `networks.blend`.

    Args:
        a, b: model files, run folders, URLs or known names, see `snapshots.find`.
        out: the snapshot, .pkl: G_ema, and D of the model whose mapping network it has. Only another blend is replaced.
        at: resolution from which on the layers are those of `b`.
        width: octaves over which weights rise around a cut; up to 1 it is hard.
        weights: instead of `at`: a number from 0 (`a`) to 1 (`b`) for each block or each layer.
        mapping: "a" or "b": whose mapping network.
        preview: the sheet of the blend, .png; None = beside `out`, with its name; False = none.
        sweep: the sheet of all cuts, .png; None = none.
        seeds: what `grammar.parse_latents` gives: the rows of the sheets.
        label: class of seeds that name none; None = classes 0, 1, 2 ... in turn where there are any.
        truncation_psi, truncation_cutoff, noise_mode: as for `generate`.
        device, precision, batch, enlarge, gap, offline, progress, warn, say: as for `gallery.generate_files`.
    Returns:
        `Blended`.
    Raises:
        UserError: the models cannot be blended (the text says what differs), or whatever else the user can mend.
    """
    places = _places(out, preview, sweep)
    check_wishes(at, width, weights, places)
    paths = [snapshots.find(name, offline=offline, progress=progress, say=say) for name in (a, b)]
    check_places(places, paths)
    A, B = _open_both(paths, warn=warn, say=say, device=device, precision=precision)
    check_cut(at, weights, A.G)
    pair = _Pair(A, B, mapping, precision, provenance(A, B, told_relation(A, B, warn, say)) | {"mapping": mapping})

    how = {"noise_mode": noise_mode, "batch": batch, "enlarge": enlarge, "gap": gap, "progress": progress}
    look = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    rows = None
    if places["preview"] or places["sweep"]:
        folder = next(path for path in places.values() if path).parent
        rows = gather_rows(A, B, mapping, seeds, label, folder=folder, warn=warn, say=say, progress=progress, **look)
    words = ""
    if at is not None or weights is not None:
        weights = cut_weights(resolutions(A.G), at, width) if weights is None else weights
        words = in_words(weights, A.G)
        _write_blend(pair, {"at": at, "width": width, "weights": list(map(float, weights))}, places, rows, how)
    if places["sweep"]:
        write_columns(places["sweep"], _all_cuts(pair, width, rows), rows, _recipe(pair, {"width": width}, how), **how)
    return Blended(**places, words=words)


@dataclass
class _Pair:
    """Two models that fit."""

    A: Model
    B: Model
    mapping: str  # "a" or "b"
    precision: str
    about: dict  # what outputs say of both

    def blended(self, weights):
        """Return the generator between the two."""
        G = blend(self.A.G, self.B.G, weights, self.mapping)
        set_precision(G, self.precision)
        return G

    def columns(self, between, rows):
        """Return the columns of a sheet: A, {label: generator}, B."""
        middle = [Column(label, G, rows.of_blend) for label, G in between.items()]
        return [Column("A", self.A.G, rows.of_A), *middle, Column("B", self.B.G, rows.of_B)]


def _places(out, preview, sweep):
    """Return {"out", "preview", "sweep": path or None}."""
    for name, path in (("out", out), ("preview", preview), ("sweep", sweep)):
        if path is not None and path is not False and not Path(path).name:
            raise UserError(
                f"--{name} {path}: this is no name of a file. Give one like blend{'.pkl' if name == 'out' else '.png'}."
            )
    if preview is None and out is not None:
        preview = Path(out).with_suffix(".png")
    return {name: Path(path) if path else None for name, path in (("out", out), ("preview", preview), ("sweep", sweep))}


def _open_both(paths, *, warn, **how):
    """Read both models, and refuse those that cannot be blended."""
    if paths[0].samefile(paths[1]):
        raise UserError(f"A and B are both {paths[0]}: a blend would be the same again. Give two models.")
    told = set()

    def warn_once(text):
        if text not in told:
            warn(text)
        told.add(text)

    A, B = (open_model(path, networks=("D",), warn=warn_once, **how) for path in paths)
    check_models(A, B)
    return A, B


def _write_blend(pair, cut, places, rows, how):
    """Write a blend as a snapshot and a sheet, whichever is wanted. `cut`: its at, width and weights."""
    G = pair.blended(cut["weights"])
    if places["out"]:
        _save(G, pair.A if pair.mapping == "a" else pair.B, pair.about | cut, places["out"])
    if places["preview"]:
        write_columns(places["preview"], pair.columns({"blend": G}, rows), rows, _recipe(pair, cut, how), **how)


def _save(G, source, about, path):
    """Write a snapshot; `source` is the model whose mapping network it has, and with it goes what depends on labels."""
    dataset = {name: source.dataset[name] for name in ("class_names", "resolution", "channels") if name in source.dataset}
    snapshots.save(snapshots.Snapshot(G, D=source.D, config={"blend": about}, dataset=dataset), path)


def _all_cuts(pair, width, rows):
    """Return the columns from A over the cuts at all resolutions, the highest first, to B: each has one more block of B."""
    sizes = resolutions(pair.A.G)
    return pair.columns({str(at): pair.blended(cut_weights(sizes, at, width)) for at in reversed(sizes)}, rows)


def _recipe(pair, cut, how):
    """Return what a sheet says of itself."""
    return {"blend": pair.about | cut, "precision": pair.A.computed_in, **{k: how[k] for k in ("noise_mode", "enlarge", "gap")}}
