"""Directions of a model, by any of the methods, with their scales and how they were found."""

import warnings

import numpy as np

from sgtool.errors import UserError
from sgtool.files import sha256_of
from sgtool.latents.directions import Directions, check_fit, read_directions
from sgtool.latents.editing.examples import read_examples
from sgtool.latents.editing.ganspace import principal_components
from sgtool.latents.editing.labels import questions
from sgtool.latents.editing.learned import separate, without
from sgtool.latents.editing.sefa import sefa
from sgtool.latents.editing.spread import spread_of_w

NUMBER, SAMPLES = 10, 10_000  # by default
LITTLE = 0.2  # of a direction is left beside others: it is told
POOR = 0.65  # accuracy below which a learned direction is told to mean little


def find_directions(model, method, *, number=NUMBER, samples=SAMPLES, rows=None, label=None, progress=False):
    """Find directions without labels.

    Args:
        model: `Model`.
        method: "sefa" or "pca".
        number: how many.
        samples: of w, from which components and standard deviations are computed.
        rows: rows of `ws` that are moved, and with sefa those whose layers count; None = all.
        label: class number whose W is sampled; None = all classes of a network with labels, each around its mean.
        progress: show a bar on stderr.
    Returns:
        `Directions`.
    Raises:
        UserError: there are not so many directions, or too few samples for them.
    """
    G = model.G
    if number > G.w_dim:
        raise UserError(
            f"--number {number}: w of {model.path.name} has {G.w_dim} numbers, so there are no more directions than that."
        )
    classes = [None] if G.c_dim == 0 else list(range(G.c_dim)) if label is None else [label]
    spread = _spread(model, samples, classes, progress)
    if method == "pca":
        if samples <= number:
            raise UserError(f"--samples {samples} are too few for {number} directions. Take 10000 or more.")
        vectors, variances = principal_components(spread, number)
        figures = {"share_of_variance": _shares(variances, np.trace(spread.covariance))}
    else:
        vectors, values = sefa(G, number, rows)
        figures = {"eigenvalues": [float(f"{value:.6g}") for value in values]}
    digits = max(2, len(str(number - 1)))
    names = [f"{method}{i:0{digits}d}" for i in range(number)]
    recipe = {**model.recipe(), "method": method, "samples": samples, "class": label, **figures}
    return _directions(model, vectors, spread, names, rows, recipe)


def learn_directions(
    model, items, labels, folder, *, samples=SAMPLES, rows=None, label=None, orthogonal_to=None,
    warn=warnings.warn, say=lambda text: None, progress=False, **look,
):  # fmt: skip
    """Learn a direction for each label of examples, see `labels.questions`, `learned.separate`.

    Args:
        model: `Model`.
        items, labels, folder: the examples, see `examples.read_examples`.
        samples, rows: as for `find_directions`; all classes are sampled, and standard deviations are those of W as a whole.
            Of latents whose rows differ, the mean of `rows` is learned from.
        label: class number of seeds among the examples that name none.
        orthogonal_to: file of directions; what the learned ones share with them is taken out. None = nothing.
        warn, say: called with texts: how well each label can be told from W, for one.
        look: truncation_psi and truncation_cutoff of seeds among the examples.
    Returns:
        `Directions`.
    Raises:
        UserError: whatever the user can mend.
    """
    others = None if orthogonal_to is None else read_directions(orthogonal_to)
    if others is not None:
        check_fit(others, model, orthogonal_to, warn)
    common = {"warn": warn, "say": say, "progress": progress}
    latents, marks = read_examples(items, labels, model, folder, label=label, **look, **common)
    asked = questions(marks)
    spread = _spread(model, samples, list(range(model.G.c_dim)) or [None], progress, between=True)
    w = latents.ws[:, slice(None) if rows is None else rows].mean(axis=1)
    found = {}
    for word, has in asked.items():
        found[word] = separate(w, has)
        _tell(word, has, found[word].accuracy, warn, say)
    vectors, recipe = np.stack([boundary.normal for boundary in found.values()]), {}
    if others is not None:
        vectors = _apart(vectors, list(found), others, orthogonal_to, warn)
        recipe["orthogonal_to"] = {"file_sha256": sha256_of(orthogonal_to), "directions": others.names}
    recipe |= {"held_out_accuracy": {word: round(boundary.accuracy, 4) for word, boundary in found.items()}}
    recipe |= {"penalty": {word: boundary.penalty for word, boundary in found.items()}, "examples": len(latents)}
    recipe |= {"with_label": {word: int(has.sum()) for word, has in asked.items()}}
    recipe = {**model.recipe(), "method": "learned", "samples": samples, "class": None, **recipe}
    return _directions(model, vectors, spread, list(found), rows, recipe)


def _spread(model, samples, classes, progress, between=False):
    if samples < 2 * len(classes):
        raise UserError(f"--samples {samples} are too few for {len(classes)} classes. Take 10000 or more.")
    return spread_of_w(model, samples, classes, between=between, progress=progress)


def _directions(model, vectors, spread, names, rows, recipe):
    scales = spread.along(vectors).astype(np.float32)
    layers = [None if rows is None else list(rows)] * len(names)
    return Directions(vectors.astype(np.float32), scales, names, layers, model.sha256, recipe)


def _shares(variances, total):
    return [round(float(value / total), 6) if total > 0 else 0.0 for value in variances]


def _tell(word, has, accuracy, warn, say):
    """Say how well a label can be told from W."""
    say(
        f"{word}: {accuracy:.1%} of held-out examples are on the right side (mean of both sides, chance is 50%); "
        f"{has.sum()} have the label, {(~has).sum()} have not."
    )
    if accuracy < POOR:
        warn(f"{word} can hardly be told from W, so its direction means little. Label more examples.")


def _apart(vectors, names, others, path, warn):
    """Take from directions what they share with those of a file."""
    vectors, left = without(vectors, others.vectors)
    for name, rest in zip(names, left, strict=True):
        if rest < 1e-6:
            raise UserError(f"--orthogonal-to {path}: nothing is left of {name} beside its directions. Give other ones.")
        if rest < LITTLE:
            warn(f"{rest:.0%} of {name} is left beside the directions of {path}: it may change little.")
    return vectors
