"""`sgtool edit`, step by step: the model, the latents, the directions (found or read), then sheets of them or edited latents."""

import dataclasses
import warnings
from pathlib import Path

from sgtool.errors import UserError
from sgtool.files import make_folder, sha256_of
from sgtool.latents.directions import check_fit, read_directions, write_directions
from sgtool.latents.editing import apply, show
from sgtool.latents.editing.find import NUMBER, SAMPLES, find_directions, learn_directions
from sgtool.latents.file import Latents, read_latents
from sgtool.latents.layers import checked_rows
from sgtool.latents.model import Model, checked_truncation, open_model
from sgtool.latents.recipes import refuse_strangers
from sgtool.latents.sources import gather

FILE = "directions.npz"
STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


@dataclasses.dataclass
class Desk:
    """What each way of editing works with."""

    model: Model
    outdir: Path
    latents: Latents  # to be moved
    rows: list | None  # of `ws` to move; None = all, or those that a file of directions says
    label: int | None
    look: dict  # truncation_psi and truncation_cutoff of seeds
    pictures: dict  # noise_mode and batch, as for `render`
    cells: dict  # enlarge and gap, as for `write_sheet`
    talk: dict  # warn and say
    progress: bool

    def recipe(self, **more):
        """Return what each file says of how it was made."""
        return {**self.model.recipe(), "noise_mode": self.pictures["noise_mode"], **more}


def open_desk(
    network, outdir, seeds, *, layers=None, label=None, truncation_psi=1.0, truncation_cutoff=None, noise_mode="const",
    batch=None, enlarge=1, gap=0, device="cpu", precision="auto", offline=False, progress=False, warn=warnings.warn,
    say=lambda text: None,
):  # fmt: skip
    """Read the model and the latents to be moved.

    Args:
        network: model file, run folder, URL or known name.
        outdir: folder to write to; made if need be.
        seeds: latents, what `grammar.parse_latents` gives.
        layers: rows of `ws` to move, list or word; None = all.
        label, truncation_psi, truncation_cutoff: of seeds; the label also says whose W is sampled.
        noise_mode, batch: as for `render`.
        enlarge, gap: of sheets, as for `write_sheet`.
        device, precision, offline: as for `open_model`.
        progress: show bars on stderr.
        warn, say: called with texts.
    Returns:
        `Desk`.
    Raises:
        UserError: whatever the user can mend.
    """
    talk, look = {"warn": warn, "say": say}, {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    outdir = make_folder(outdir, "--outdir")
    model = open_model(network, device=device, precision=precision, offline=offline, progress=progress, **talk)
    checked_truncation(model.G, **look)
    rows = None if layers is None else checked_rows(layers, model.G.num_ws, "--layers")
    if label is not None:
        label = model.checked_classes([label], warn)[0]
    latents = gather(seeds, model, outdir, label=label, progress=progress, **look, **talk)
    pictures, cells = {"noise_mode": noise_mode, "batch": batch}, {"enlarge": enlarge, "gap": gap}
    return Desk(model, outdir, latents, rows, label, look, pictures, cells, talk, progress)


def find_files(
    network, outdir, seeds, method, *, number=None, samples=None, examples=None, labels=None, orthogonal_to=None,
    strengths=None, **options,
):  # fmt: skip
    """Find directions, write them as directions.npz, and show on sheets what they do.

    Args:
        network, outdir, seeds, options: as for `open_desk`.
        method: "sefa", "pca" or "learned".
        number: of directions, for sefa and pca; None = 10.
        samples: of w; None = 10000.
        examples, labels: for learned, see `examples.read_examples`.
        orthogonal_to: for learned, a file of directions, see `learned.without`.
        strengths: columns of the sheets, in standard deviations of W; None = -3 to 3.
    Returns:
        path of directions.npz, `Directions`, paths of the sheets, see `show.show_files`.
    Raises:
        UserError: whatever the user can mend.
    """
    _check_method(method, {"--number": number}, {"--examples": examples, "--labels": labels, "--orthogonal-to": orthogonal_to})
    desk = open_desk(network, outdir, seeds, **options)
    path = desk.outdir / FILE
    refuse_strangers(desk.outdir, [show.OVERVIEW])
    _refuse(path, read_directions)
    common = {"samples": samples or SAMPLES, "rows": desk.rows, "label": desk.label, "progress": desk.progress}
    if method == "learned":
        own = {"orthogonal_to": orthogonal_to, **common, **desk.talk, **desk.look}
        directions = learn_directions(desk.model, examples, labels, desk.outdir, **own)
    else:
        directions = find_directions(desk.model, method, number=number or NUMBER, **common)
    chosen = list(range(len(directions)))
    refuse_strangers(desk.outdir, show.sheet_names(directions, chosen))
    write_directions(path, directions)
    return path, directions, _shown(desk, directions, chosen, strengths, {"directions_of": directions.recipe})


def use_files(network, outdir, seeds, file, *, use=None, strengths=None, **options):
    """Show what directions of a file do, or move latents along them.

    Args:
        network, outdir, seeds, options: as for `open_desk`.
        file: of directions.
        use: `{name, or number as text: strength or None}`; None = all directions, without strengths.
        strengths: columns of the sheets, as for `find_files`; only where `use` has no strengths.
    Returns:
        paths of the sheets: with strengths in `use` one, of before and after, beside the pictures and edited.npz.
    Raises:
        UserError: whatever the user can mend.
    """
    use = use or {}
    moves = bool(use) and None not in use.values()
    if use and not moves and set(use.values()) != {None}:
        raise UserError("--use has strengths for some directions only. Write all as NAME=STRENGTH, or none.")
    if moves and strengths is not None:
        raise UserError("--strengths are the columns of sheets, but --use has strengths already. Leave one of them out.")
    directions = read_directions(file)
    chosen = {directions.index(name): strength for name, strength in use.items()}
    if len(chosen) < len(use):
        raise UserError("--use has one direction twice, by its name and by its number. Leave one of them.")
    desk = open_desk(network, outdir, seeds, **options)
    if desk.rows is not None:
        directions.layers = [desk.rows] * len(directions)
    check_fit(directions, desk.model, file, desk.talk["warn"])
    about = {"directions_of": {**directions.recipe, "file": Path(file).name, "file_sha256": sha256_of(file)}}
    if not moves:
        shown = list(chosen or range(len(directions)))
        refuse_strangers(desk.outdir, [show.OVERVIEW, *show.sheet_names(directions, shown)])
        return _shown(desk, directions, shown, strengths, about)
    pictures, (sheet, latents) = apply.file_names(desk.latents)
    refuse_strangers(desk.outdir, [*pictures, sheet])
    _refuse(desk.outdir / latents, _read_own_latents)
    args = desk.model, desk.outdir, directions, desk.latents, chosen, desk.recipe(**about), desk.pictures, desk.cells
    return [apply.edit_files(*args, progress=desk.progress)]


def _check_method(method, of_unlabelled, of_learned):
    """Refuse options of another method than the one that is used."""
    foreign = of_unlabelled if method == "learned" else of_learned
    for option, value in foreign.items():
        if value is not None:
            raise UserError(f"{option} does not go with --method {method}. Leave it out, or choose another method.")
    if method == "learned" and of_learned["--examples"] is None:
        raise UserError("--examples is missing: latents with --labels FILE, or a folder of pictures sorted by label.")


def _shown(desk, directions, chosen, strengths, about):
    strengths = list(STRENGTHS if strengths is None else strengths)
    recipe = desk.recipe(**about)
    return show.show_files(
        desk.model, desk.outdir, directions, chosen, desk.latents, strengths, recipe, desk.pictures, desk.cells
    )


def _refuse(path, read):
    """Raise UserError if there is a file at `path` that `read` does not know as one of ours."""
    if not path.exists():
        return
    try:
        read(path)
    except UserError as error:
        raise UserError(
            f"{path} was not made by sgtool edit, so it is not replaced. Move it or choose another --outdir."
        ) from error


def _read_own_latents(path):
    if "made" not in read_latents(path).recipes[0]:
        raise UserError(f"{path} has no recipe. Move it.")
