"""A projection that is decided: model, distance, numbers, pictures, and what each result is made of."""

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import torch

from sgtool.errors import UserError
from sgtool.latents.generate import picture_size
from sgtool.latents.model import Model
from sgtool.latents.perceptual import Distance
from sgtool.latents.projection.outputs import TUNED, names_of
from sgtool.latents.projection.settings import Settings
from sgtool.latents.projection.targets import Listing, Look
from sgtool.latents.seeds import one_hot

BATCH_PIXELS, LARGEST_BATCH = 1 << 19, 16  # what is projected together if nothing is said
SEARCH_ONLY = ("tuning_", "locality_")  # beginnings of the settings that matter only where the network is tuned
AUTO = "auto"


@dataclasses.dataclass
class Job:
    """What is projected, how, and where to."""

    model: Model
    distance: Distance
    settings: Settings
    listing: Listing
    look: Look
    outdir: Path
    label: int | str | None = None  # class number, "auto" (the nearest class of each picture), or None without classes
    tune: str | None = None  # "each": a tuned network for each picture; "together": one for all; None: none
    batch: int = 1  # pictures projected together
    video: bool = False
    latents_only: bool = False  # write the latents and nothing else
    names: dict = dataclasses.field(default_factory=dict)  # {name of a picture: its `Names`}

    def __post_init__(self):
        for name in self.listing.names:
            self.names.setdefault(name, names_of(name, self.listing.single))

    @property
    def space(self):
        """ "w", "w+" or "pti"."""
        return self.settings.space if self.tune is None else "pti"

    def wanted(self, name):
        """Return the names of the files that a picture needs to be finished, the latents last."""
        names = self.names[name]
        if self.latents_only:
            return [names.latents]
        video = [names.video] if self.video else []
        network = {"each": [names.network], "together": [TUNED], None: []}[self.tune]
        return [names.target, names.picture, *video, *network, names.latents]

    def numbers(self):
        """Return the settings that the result depends on, as plain values."""
        numbers = dataclasses.asdict(self.settings)
        if self.tune is None:
            numbers = {key: value for key, value in numbers.items() if not key.startswith(SEARCH_ONLY)}
        return {**numbers, "space": self.space} | ({} if self.tune is None else {"tune": self.tune})

    def facts(self):
        """Return what all results have in common and depend on."""
        facts = {"network_sha256": self.model.sha256, "perceptual": self.distance.name, "settings": self.numbers()}
        return facts | {"class": self.label}

    def recipe(self, target, fingerprint):
        """Return what each file made of a target says.

        Args:
            target: `Known`.
            fingerprint: of it, from `fingerprints`.
        """
        made = {"projected": target.source, "target_sha256": target.sha256, "fingerprint": fingerprint}
        return self.model.recipe() | made | {key: value for key, value in self.facts().items() if key != "network_sha256"}

    def fingerprints(self, targets):
        """Return {name: SHA-256 of all that the result depends on} for each of the targets."""
        others = sorted(target.sha256 for target in targets) if self.tune == "together" else None
        return {target.name: digest_of([self.facts(), target.sha256, others]) for target in targets}

    def labels(self, number):
        """Return the labels `[number, c_dim]` that pictures begin with, None without classes or where they are chosen."""
        if self.model.G.c_dim == 0 or self.label == AUTO:
            return None
        return one_hot([self.label] * number, self.model.G.c_dim)


class Known(NamedTuple):
    """A target that was read."""

    name: str
    source: str
    sha256: str


def digest_of(facts):
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def default_batch(G):
    """Return how many pictures of `G` to project together: half a million pixels, at most 16 pictures."""
    height, width = picture_size(G)
    return max(1, min(LARGEST_BATCH, BATCH_PIXELS // (height * width)))


def checked_label(model, label, warn=warnings.warn):
    """Return what `Job.label` is to be: a class of the network, "auto", or None for a network without classes.

    Args:
        model: `Model`.
        label: class number, "auto" or None, which is "auto" where there are classes.
        warn: called with a text if it has no effect.
    Raises:
        UserError: the network has no such class.
    """
    if label in (None, AUTO):
        return AUTO if model.G.c_dim else None
    (label,) = model.checked_classes([label], warn)
    return label


def class_of(label):
    """Return the number of the class of a label `[c_dim]`."""
    return int(torch.argmax(label))


def settings_for(space, **numbers):
    """Return (`Settings`, whether the network is tuned) of a space: "w", "w+" or "pti", which is W and then the tuning.

    Args:
        space: one of them.
        numbers: of `Settings`; None = the default.
    Raises:
        UserError: a number with which nothing can be computed.
    """
    numbers = {name: value for name, value in numbers.items() if value is not None}
    try:
        return Settings(space="w" if space == "pti" else space, **numbers), space == "pti"
    except ValueError as error:
        raise UserError(f"{str(error)[:1].upper()}{str(error)[1:]}. Change the option of that name.") from error
