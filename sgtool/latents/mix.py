"""Style mixing: coarse structure from one latent, fine structure from another. Karras et al. 2019 (StyleGAN), section 3.1."""

import functools
import itertools
import warnings
from typing import NamedTuple

from tqdm import tqdm

from sgtool import images, snapshots
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.grammar import Seed
from sgtool.latents.file import joined, plain_name, unique_names
from sgtool.latents.generate import picture_size, render
from sgtool.latents.layers import checked_rows, default_styles
from sgtool.latents.model import checked_truncation, open_model
from sgtool.latents.recipes import refuse_strangers, texts
from sgtool.latents.sheet import write_sheet
from sgtool.latents.sources import check_items, gather, tell_of_truncation
from sgtool.options import numbers_text

SHEET = "grid.png"
SEPARATORS = "-_+~"  # between the two names of a file: the first that is in none of them. The last is in no plain name


def mixed(w, other, styles):
    """Return `w` with the rows `styles` of `other`.

    Args:
        w, other: `[..., num_ws, w_dim]` arrays.
        styles: list of rows.
    """
    result = w.copy()
    result[..., styles, :] = other[..., styles, :]
    return result


def mix_files(
    network, outdir, rows, columns, styles=(), *,
    label=None, device="cpu", precision="auto", batch=None, grid=True, singles=True, labels=None, enlarge=1, gap=0,
    offline=False, progress=False, warn=warnings.warn, say=lambda text: None,
    truncation_psi=1.0, truncation_cutoff=None, noise_mode="const",
):  # fmt: skip
    """Write the pictures of row latents that take some of their layers from column latents.

    Single pictures are `85-100.png`, sources `85-85.png`; the sheet `grid.png` has the columns' sources above and the rows'
    sources at the left. With several crossovers their sheets lie below one another, and the files have names like
    `85-100-coarse.png`.

    Args:
        network: model file, run folder, URL or known name, see `snapshots.find`.
        outdir: folder to write to; made if need be.
        rows, columns: what `grammar.parse_latents` gives; whole numbers are seeds.
        styles: for each crossover the layers that come from the column, as `options.LAYERS` gives them; none =
            `layers.default_styles`.
        label: class of seeds that name none; needed for a network with labels.
        device, precision, batch, enlarge, gap, offline, progress, warn, say: as for `generate_files`.
        grid, singles: which of the two to write.
        labels: write names along the edges of the sheet; None = if there are several crossovers.
        truncation_psi, truncation_cutoff, noise_mode: as for `generate`. Random noise is drawn from the seed of the row.
    Returns:
        (number of single pictures, path of the sheet or None).
    Raises:
        UserError: whatever the user can mend.
    """
    if not (grid or singles):
        raise UserError("--no-grid and --no-singles leave nothing to write. Leave one of them out.")
    rows, columns = ([Seed(item) if isinstance(item, int) else item for item in items] for items in (rows, columns))
    for items in (rows, columns):
        check_items(items)
    path = snapshots.find(network, offline=offline, progress=progress, say=say)
    outdir = make_folder(outdir, "--outdir")
    refuse_strangers(outdir, [SHEET] if grid else [])
    warn = functools.cache(warn)  # each text once, although latents are gathered twice
    model = open_model(path, device=device, precision=precision, warn=warn, say=say)
    checked_truncation(model.G, truncation_psi, truncation_cutoff)
    crossovers = _crossovers(styles, model.G.num_ws)
    tell_of_truncation(rows + columns, truncation_psi, warn)
    how = {"label": label, "warn": warn, "say": say, "progress": progress}
    how |= {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    sources = [gather(items, model, outdir, **how) for items in (rows, columns)]
    plan = _Plan(*sources, crossovers, {**model.recipe(), "noise_mode": noise_mode})
    if singles:
        refuse_strangers(outdir, map(plan.name, plan.places()))

    say(f"Computing in {model.computed_in} on {model.device}.")
    pictures = render(model.G, map(plan.w, plan.places()), noise_mode, batch, map(plan.noise_seed, plan.places()))
    pictures = iter(tqdm(pictures, total=plan.number, unit="img", disable=None if progress else True))
    finished = _saved(outdir, plan, pictures) if singles else pictures
    if grid:
        _write_grid(outdir / SHEET, plan, finished, model.G, {"enlarge": enlarge, "gap": gap}, labels)
    for _ in finished:  # without a grid, which takes them all
        pass
    return plan.singles if singles else 0, outdir / SHEET if grid else None


class _Crossover(NamedTuple):
    """Which layers come from the column."""

    name: str  # as recipes have it
    styles: list

    def words(self):
        return self.name if self.name.isalpha() else f"layers {self.name}"


class _Place(NamedTuple):
    """One picture on the sheet. Without a row it is the source of its column, without a column that of its row."""

    crossover: _Crossover
    row: int | None
    column: int | None


def _crossovers(styles, num_ws):
    """Return the crossovers that are asked for, each once."""
    found = {}
    for layers in list(styles) or [default_styles(num_ws)]:
        rows = checked_rows(layers, num_ws, "--styles")
        name = layers if isinstance(layers, str) else numbers_text(rows)
        found[name] = _Crossover(name, rows)
    return list(found.values())


class _Plan:
    """Which pictures there are, and how each is made and called."""

    def __init__(self, rows, columns, crossovers, recipe):
        self.rows, self.columns, self.crossovers, self.recipe = rows, columns, crossovers, recipe
        names = _names(joined([rows, columns]))
        self.row_names, self.column_names = names[: len(rows)], names[len(rows) :]
        self.separator = next(sign for sign in SEPARATORS if not any(sign in name for name in names))
        self.number = len(crossovers) * ((len(rows) + 1) * (len(columns) + 1) - 1)
        self.singles = self._files(set(self.row_names), set(self.column_names))

    def _files(self, rows, columns):
        """Return how many single pictures there are. With one crossover `85-85.png` is both source and mixture."""
        mixtures = len(self.crossovers) * len(rows) * len(columns)
        return mixtures + len(rows | columns) - (len(rows & columns) if len(self.crossovers) == 1 else 0)

    def places(self):
        """Yield a `_Place` for each picture, in the order in which they are made: from above to below."""
        for crossover in self.crossovers:
            for column in range(len(self.columns)):
                yield _Place(crossover, None, column)
            for row in range(len(self.rows)):
                yield from (_Place(crossover, row, column) for column in [None, *range(len(self.columns))])

    def _source(self, place):
        """Return the latents and the index of a source, None for a mixed picture."""
        if place.row is None:
            return self.columns, place.column
        return (self.rows, place.row) if place.column is None else None

    def w(self, place):
        """The latent, `[num_ws, w_dim]`."""
        if source := self._source(place):
            return source[0].ws[source[1]]
        return mixed(self.rows.ws[place.row], self.columns.ws[place.column], place.crossover.styles)

    def noise_seed(self, place):
        return self.columns.noise_seed(place.column) if place.row is None else self.rows.noise_seed(place.row)

    def recipe_of(self, place):
        """What its file says of it."""
        if source := self._source(place):
            return {**self.recipe, **source[0].recipes[source[1]]}
        row, column = self.rows.recipes[place.row], self.columns.recipes[place.column]
        return {**self.recipe, "row": row, "column": column, "styles": place.crossover.name}

    def name(self, place):
        """Of its file. A source has its own name twice."""
        row, column = place.row, place.column
        names = [
            self.column_names[column] if row is None else self.row_names[row],
            self.row_names[row] if column is None else self.column_names[column],
        ]
        if len(self.crossovers) > 1 and not self._source(place):
            names.append(place.crossover.words().replace(" ", ""))
        return self.separator.join(names) + ".png"


def _names(latents):
    """Return a name for each latent; a seed's is its number, as in NVIDIA's tool."""
    names = []
    for name, recipe in zip(latents.names, latents.recipes, strict=True):
        seed = recipe.get("seed")
        names.append(plain_name(name) if seed is None else name.replace(f"seed{seed:04d}", str(seed), 1))
    return unique_names(names, latents.recipes)


def _saved(outdir, plan, pictures):
    """Yield the pictures, each after it was written to its file; a source is written once."""
    for place, picture in zip(plan.places(), pictures, strict=True):
        if place.crossover is plan.crossovers[0] or (place.row is not None and place.column is not None):
            images.save_png(outdir / plan.name(place), picture, texts(plan.recipe_of(place)))
        yield picture


def _write_grid(path, plan, pictures, G, looks, labels):
    width = len(plan.columns)

    def rows():
        for _ in plan.crossovers:
            yield [None, *itertools.islice(pictures, width)]
            for _ in plan.row_names:
                yield list(itertools.islice(pictures, width + 1))

    edge = [text for crossover in plan.crossovers for text in (crossover.words(), *plan.row_names)]
    if labels or (labels is None and len(plan.crossovers) > 1):
        looks = {**looks, "row_labels": edge, "column_labels": ["", *plan.column_names]}
    recipe = {**plan.recipe, "rows": plan.rows.recipes, "columns": plan.columns.recipes}
    recipe["styles"] = [crossover.name for crossover in plan.crossovers]
    write_sheet(path, rows(), width + 1, picture_size(G), G.img_channels, recipe, number_of_rows=len(edge), **looks)
