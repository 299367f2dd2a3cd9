"""Where two models come from, and what a blend says of them."""

from sgtool import __version__
from sgtool.networks.blend import DISTANT, RELATED, relation, resolutions


def ancestors(model):
    """Return the SHA-256 of the files that a model is known to come from, its own among them.

    A run keeps the hash of the snapshot that it started from (`config.source`), a blend those of both its models and theirs.
    """
    config = model.snapshot.config
    source, blend = (value if isinstance(value, dict) else {} for value in (config.get("source"), config.get("blend")))
    older = blend.get("ancestors")
    known = [model.sha256, source.get("sha256"), *(older if isinstance(older, (list, tuple)) else ())]
    return {digest for digest in known if isinstance(digest, str)}


def told_relation(A, B, warn, say):
    """Say how two models are related, by what their files tell and by what they have learned; warn if a blend promises little.

    Returns:
        `networks.blend.Relation`.
    """
    found = relation(A.G, B.G)
    numbers = f"what their layers have learned correlates {found.mean:.2f} (least: {found.lowest:.2f}, {found.where})"
    say(f"{_by_files(A, B) or f'A and B are {found.word}'}: {numbers}.")
    if found.mean < RELATED:
        what = "little" if found.mean >= DISTANT else "nothing"
        warn(
            f"The layers of A and B have {what} in common, so one makes {what} of the features of the other: expect noise. "
            "Blend a model with one that was trained from it by sgtool train --resume."
        )
    return found


def _by_files(A, B):
    """Say what the files tell of the two, "" if nothing."""
    of_A, of_B = ancestors(A), ancestors(B)
    if A.sha256 in of_B:
        return "B comes from A"
    if B.sha256 in of_A:
        return "A comes from B"
    return "A and B come from the same model" if of_A & of_B else ""


def provenance(A, B, related):
    """Return what a blend says of its models, plain values for the snapshot's config and the sheets' recipes."""
    return {
        "version": __version__,
        "a": A.path.name,
        "a_sha256": A.sha256,
        "b": B.path.name,
        "b_sha256": B.sha256,
        "correlation": round(related.mean, 4),
        "ancestors": sorted(ancestors(A) | ancestors(B)),
    }


def in_words(weights, G):
    """Say which blocks are whose: "4 to 16 of A, 32 of B", or "16 with 25 % of B" where there is some of both."""
    names = list(map(str, resolutions(G)))
    if len(weights) != len(names):
        names = [f"layer {number}" for number in range(G.num_ws)]
    runs = []
    for name, weight in zip(names, weights, strict=True):
        whose = {0: "of A", 1: "of B"}.get(weight, f"with {100 * weight:.3g} % of B")
        if runs and runs[-1][2] == whose:
            runs[-1][1] = name
        else:
            runs.append([name, name, whose])
    spans = ((first if first == last else f"{first} to {last.removeprefix('layer ')}", whose) for first, last, whose in runs)
    return ", ".join(f"{span} {whose}" for span, whose in spans)
