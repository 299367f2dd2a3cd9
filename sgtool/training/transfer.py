"""Transfer learning: a run starts from the networks of a snapshot, of whatever program.

Its architecture is the source's (`adoption`). Layers are copied by name and shape. What depends on labels, where these are
others, and with --grow whatever does not fit, begins anew; each such layer is told by name.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sgtool.errors import UserError
from sgtool.networks import Discriminator, PictureShape, build_discriminator, build_generator
from sgtool.snapshots import find, load, network_hash
from sgtool.snapshots.formats import FORMATS
from sgtool.snapshots.inert import shown
from sgtool.training import freezing
from sgtool.training.adoption import decided_fields, feature_maps
from sgtool.training.fitting import copy_fitting, describe_fit, fit
from sgtool.training.resolve import Options

BUILDERS = {"G_ema": build_generator, "G": build_generator, "D": build_discriminator}
OF_LABELS = {"G": ("mapping.embed.", "mapping.fc0."), "D": ("mapping.", "b4.out.")}  # layers that depend on the label's width


@dataclass
class Source:
    """A snapshot to start from.

    Attributes:
        name: as it was given, without a password.
        path: the file.
        snapshot: `Snapshot`; None as soon as its networks have been taken over.
        about: {"file", "sha256", "format", "nimg"}: what a run keeps of it.
        fits: {"G_ema" | "G" | "D": `Fit`}, see `plan`.
        lines: what is told of it.
    """

    name: str
    path: Path
    snapshot: object
    about: dict
    fits: dict = field(default_factory=dict)
    lines: list = field(default_factory=list)

    @property
    def networks(self):
        """Keywords of its generator, and of its discriminator or None."""
        snapshot = self.snapshot
        return snapshot.G_ema.init_kwargs, None if snapshot.D is None else snapshot.D.init_kwargs


def read_source(resume, offline=False, say=lambda text: None):
    """Find and read the snapshot that --resume names.

    Args:
        resume: a file, a URL or a known name.
        offline: use only what is on this machine.
        say: callable that tells a line, of a download.
    Returns:
        `Source`.
    Raises:
        UserError: there is none, or it is not a snapshot that can be trained on.
    """
    path = find(resume, offline=offline, say=say)
    snapshot = load(path)
    name = _name(resume)
    try:
        json.dumps([getattr(snapshot, n).init_kwargs for n in BUILDERS if getattr(snapshot, n) is not None])
    except (TypeError, ValueError) as error:
        raise UserError(f"--resume {name}: the description of its networks has more than plain values ({error}).") from error
    about = {"file": name, "sha256": network_hash(path), "format": snapshot.origin, "nimg": snapshot.nimg}
    return Source(name, Path(path), snapshot, about)


def _name(resume):
    """Return what --resume was given, without what may be secret in a URL."""
    if "://" not in str(resume):
        return str(resume)
    from sgtool.download import address  # here, because the folder imports requests, which takes long

    return address.shown(resume)


def check(source, options, dataset):
    """Raise UserError if pictures or options contradict the source, unless only what fits is asked for (--grow)."""
    if options.grow:
        return
    G, D = source.networks
    shape, (height, width) = PictureShape.of(G["img_resolution"]), dataset.resolution
    theirs, ours, remedy = [], [], []
    if (shape.height, shape.width) != (height, width):
        theirs, ours = [f"of {shape.width}x{shape.height}"], [f"{width}x{height}"]
        remedy = [f"--resolution {shape.width}" + ("" if shape.width == shape.height else f"x{shape.height}")]
    if G["img_channels"] != dataset.channels:
        theirs, ours = [*theirs, f"with {_channels(G['img_channels'])}"], [*ours, _channels(dataset.channels)]
        remedy.append(f"--channels {G['img_channels']}")
    if remedy:
        raise UserError(
            f"--resume {source.name}: it makes pictures {' '.join(theirs)}, but the data have {' with '.join(ours)}. "
            f"Prepare the data with {' '.join(remedy)}, or add --grow to copy the layers that fit."
        )
    _check_options(source, options, G, D)


def _channels(number):
    return "1 channel" if number == 1 else f"{number} channels"


def _check_options(source, options, G, D):
    known = decided_fields(G, D, Options())
    of_D = feature_maps(Discriminator, D or known)
    rows = {"z_dim": "z_dim", "w_dim": "w_dim", "map_depth": "map_depth", "cbase": "channel_base", "cmax": "channel_max"}
    for option, name in rows.items():
        asked, found = getattr(options, option), (known[name], of_D.get(name, known[name]))
        different = [value for value in found if value != asked]
        if asked is not None and different:
            what = "has another for each block" if different[0] is None else f"has {different[0]}"
            flag = f"--{option.replace('_', '-')}"
            raise UserError(
                f"{flag} {asked}: the source {source.name} {what}. Leave {flag} out to take its networks as they are, "
                "or add --grow to copy the layers that fit."
            )


def plan(source, config, options, class_names):
    """Decide tensor by tensor what the run takes from the source: sets its `fits` and `lines`.

    Args:
        source: `Source`.
        config: `TrainConfig`, with the networks adopted from it.
        options: `Options`.
        class_names: of the data, list or None.
    Raises:
        UserError: the networks cannot be built for the run's pictures, do not fit, or new layers would never be trained.
    """
    snapshot, kwargs = source.snapshot, {"G": config.generator_kwargs(), "D": config.discriminator_kwargs()}
    for name in BUILDERS:
        network, keywords = getattr(snapshot, name), kwargs[name[0]]
        expected = _laid_out(source, name, keywords, config)
        if network is not None:
            found = fit(_shapes(expected), _shapes(network), None if name == "D" else (config.z_dim, network.z_dim))
            _check(source, name, found, options, labels_differ=network.c_dim != config.c_dim)
            source.fits[name] = found
        if name == "D":
            freezing.check_discriminator(expected, source.fits.get("D"), options.freezed)
        elif network is not None and config.freeze_mapping:
            freezing.check_mapping(source.fits[name], _shapes(expected))
    source.lines = describe(source, config, class_names)


def _laid_out(source, name, kwargs, config):
    """Build a network without memory."""
    try:
        with torch.device("meta"):
            return BUILDERS[name](**kwargs)
    except ValueError as error:
        raise UserError(
            f"--resume {source.name}: its {name} cannot be built for pictures of {config.width}x{config.height} ({error}). "
            "Set --cbase and --cmax beside --grow, or prepare pictures of another size."
        ) from error


def _shapes(network):
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def _check(source, name, found, options, labels_differ):
    """Raise UserError if something is left that neither labels nor --grow explain."""
    excused = OF_LABELS[name[0]] if labels_differ else ()
    left = [key for key in found.fresh + found.unused if not key.startswith((*excused, "mapping.w_avg"))]
    if left and not options.grow:
        raise UserError(
            f"--resume {source.name}: its {name} does not fit the run's ({left[0]} differs), whose architecture is that of "
            f"its {'generator' if name == 'D' else 'G_ema'}. Add --grow to copy the layers that fit."
        )
    if name != "D" and not found.copied:
        raise UserError(f"--resume {source.name}: no layer of its {name} fits this run. Leave --resume out to start anew.")


def describe(source, config, class_names):
    """Tell what is taken over, what is not, and what that means: a list of lines."""
    snapshot = source.snapshot
    facts = [FORMATS.get(snapshot.origin, snapshot.origin)]
    facts += [f"kimg {snapshot.nimg / 1000:g}"] if snapshot.nimg else []
    facts += [f"p {snapshot.augment_p:.3f}"] if snapshot.augment_p else []
    lines = [
        f"Transfer learning from {source.name} ({', '.join(facts)}). Optimizers begin anew, kimg at 0, p at {config.p:g}.",
    ]
    lines += [f"  {note}" for note in snapshot.notes]
    lines += _labels(snapshot, config, class_names)
    if snapshot.G is None:
        lines.append("  It has no G, so G starts from G_ema.")
    if snapshot.D is None:
        lines.append("  It has no D, so D starts from random weights.")
    told = {}
    for name, found in source.fits.items():
        told.setdefault(describe_fit(found), []).append(name)
    return lines + [f"  {', '.join(names)}: {words}" for words, names in told.items()]


def _labels(snapshot, config, class_names):
    """Tell how the labels of source and run go together."""
    before, now = snapshot.G_ema.c_dim, config.c_dim
    if before != now:
        before, now = (f"labels of width {n}" if n else "no labels" for n in (before, now))
        return [f"  The source has {before}, this run {now}: the layers that depend on them begin anew."]
    if not now:
        return []
    lines = [f"  Labels of width {now}, as in the source: their layers are copied."]
    theirs = snapshot.dataset.get("class_names")
    if not isinstance(theirs, list) or not class_names or len(theirs) != len(class_names):
        return lines
    number = next((i for i, pair in enumerate(zip(theirs, class_names, strict=True)) if pair[0] != pair[1]), None)
    if number is not None:
        was = shown(str(theirs[number]))
        lines.append(
            f'  Warning: class {number} was "{was}" in the source and is "{class_names[number]}" in the data. '
            "If the classes are only in another order, prepare the data so that they agree."
        )
    return lines


def take_over(source, state):
    """Copy what fits of the source's networks into a fresh state: weights and averages, not optimizers or counters."""
    for name in BUILDERS:
        origin = name if name in source.fits else "G_ema"
        if name != "D" or "D" in source.fits:
            copy_fitting(getattr(state, name), getattr(source.snapshot, origin).state_dict(), source.fits[origin])
    source.snapshot = None  # its networks are not needed twice
