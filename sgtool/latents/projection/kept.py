"""Pictures in a list of latents: projected once, then kept."""

from sgtool import snapshots
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.latents.file import joined, read_latents
from sgtool.latents.generate import picture_size
from sgtool.latents.perceptual import choose
from sgtool.latents.projection import outputs, targets
from sgtool.latents.projection.finish import project_pending
from sgtool.latents.projection.job import Job, Known, checked_label, default_batch, settings_for
from sgtool.latents.projection.workplace import Workplace


def projected(model, paths, folder, *, say=lambda text: None, progress=False):
    """Return the latents of pictures in W+ of a model, as `sgtool project --space w+` finds them.

    They are kept in `folder` as `<name>-projected_w.npz`, and taken from there the next time if model, picture and numbers
    are the same.

    Args:
        model: `Model`; its discriminator is read if it is needed.
        paths: of the pictures.
        folder: where they are kept; made if need be.
        say: called with lines of text.
        progress: show a bar on stderr.
    Returns:
        `Latents`, a row for each path.
    Raises:
        UserError: a picture cannot be read, or the folder not written.
        SystemExit: stopped by a signal, after what is done was saved.
    """
    folder = make_folder(folder, "--outdir")
    targets.check_channels(model.G, model.path.name)
    height, width = picture_size(model.G)
    look = targets.Look((width, height), model.G.img_channels)
    listing = targets.listing_of([str(path) for path in paths])
    known, pixels = _read(listing, look)
    job = Job(
        model, _distance(model), settings_for("w+")[0], listing, look, folder, checked_label(model, None),
        batch=default_batch(model.G), latents_only=True,
    )  # fmt: skip
    _place(job, known)
    marks = job.fingerprints(known)
    if not all(outputs.finished(folder, job.wanted(name), mark) for name, mark in marks.items()):
        say(f"Projecting {len(known)} picture{'s'[: len(known) > 1]} into W+. {job.distance.note}")
        with Workplace(folder) as place:
            place.sweep([names.latents for names in job.names.values()])
            project_pending(job, known, place, pixels.get, progress=progress, say=say)
    latents = joined([read_latents(folder / job.names[target.name].latents) for target in known])
    latents.names = [target.name for target in known]
    latents.network_sha256 = model.sha256
    return latents


def _read(listing, look):
    known, pixels = [], {}
    for i, name in enumerate(listing.names):
        try:
            target = targets.read_target(listing, i, look)
        except Skip as skip:
            path = listing.pictures[i].path
            raise UserError(f"{path} is no picture that can be projected ({skip}). Give seeds, latents or a picture.") from skip
        known.append(Known(name, target.source, target.sha256))
        pixels[name] = target.pixels
    return known, pixels


def _distance(model):
    """Return the distance that `--perceptual auto` means."""
    D = model.D
    if D is None:
        D = snapshots.load(model.path, device=model.device, networks=("D",)).D
    return choose("auto", D, img_channels=model.G.img_channels, device=model.device)


def _place(job, known):
    """Give each picture names whose latents are its own, free, or of sgtool: several folders may have a face.png."""
    marks, taken = job.fingerprints(known), set()
    for target in known:
        plain = targets.safe_names([target.source])[0]
        number, name = 1, plain
        while (path := outputs.names_of(name, False).latents) in taken or not _is_free(job.outdir / path, marks[target.name]):
            number += 1
            name = f"{plain}-{number}"
        taken.add(path)
        job.names[target.name] = outputs.names_of(name, False)


def _is_free(path, mark):
    made = outputs.made_of(path) if path.exists() else {"fingerprint": mark}
    return made is not None and made.get("fingerprint") == mark
