"""Augmentations by name: single transforms, the sets of the paper, and both joined in one text. Imports no torch."""

import difflib
import re

from sgtool.errors import UserError

BLIT = ("xflip", "rotate90", "xint")
GEOM = ("scale", "rotate", "aniso", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
TRANSFORMS = (*BLIT, *GEOM, *COLOR, "imgfilter", "noise", "cutout")

SETS = {
    "blit": BLIT,
    "geom": GEOM,
    "color": COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": BLIT + GEOM,
    "bgc": BLIT + GEOM + COLOR,
    "bgcf": BLIT + GEOM + COLOR + ("imgfilter",),
    "bgcfn": BLIT + GEOM + COLOR + ("imgfilter", "noise"),
    "bgcfnc": TRANSFORMS,
}


def transforms_of(text):
    """Return the transforms that `text` names, in the order in which the pipe applies them.

    Args:
        text: names of transforms and of sets, joined by commas or plus signs: "bgc", "xflip,rotate90", "bg+brightness".
    Raises:
        UserError: a name is neither a transform nor a set; the text names the nearest one.
    """
    chosen = set()
    for name in (part.strip() for part in re.split(r"[,+]", text)):
        if name not in SETS and name not in TRANSFORMS:
            near = difflib.get_close_matches(name, [*SETS, *TRANSFORMS], n=1)
            guess = f"Did you mean {near[0]}?" if near else f"There are the sets {', '.join(SETS)}."
            raise UserError(
                f"--augpipe {text[:80]}: {name[:40] or 'an empty name'} is no augmentation. {guess} Single ones: "
                f"{', '.join(TRANSFORMS)}; none at all: --aug noaug."
            )
        chosen.update(SETS.get(name, (name,)))
    return tuple(name for name in TRANSFORMS if name in chosen)


def pipe_of(text):
    """Return the multipliers of `AugmentPipe` for a text as in `transforms_of`: {transform: 1}."""
    return dict.fromkeys(transforms_of(text), 1)


def written(text):
    """Return the shortest way to write the transforms that `text` names, always the same for the same transforms.

    The largest sets first, then what is left by itself: "brightness,geom,blit" is "bg+brightness".

    Raises:
        UserError: as in `transforms_of`.
    """
    left, names = set(transforms_of(text)), []
    for name, members in sorted(SETS.items(), key=lambda item: -len(item[1])):
        if left.issuperset(members):
            left.difference_update(members)
            names.append(name)
    names += [name for name in TRANSFORMS if name in left]
    return "+".join(sorted(names, key=lambda name: TRANSFORMS.index(SETS.get(name, (name,))[0])))


def recolours(text):
    """Whether the transforms that `text` names change colours, for which pictures must have 1, 3 or 4 channels."""
    return not set(COLOR).isdisjoint(transforms_of(text))
