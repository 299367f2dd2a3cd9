"""A projection from the first check to the last file."""

import math
import os
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sgtool.datasets.transforms import Skip, parse_colour
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.latents.file import joined, read_latents, write_latents
from sgtool.latents.generate import picture_size
from sgtool.latents.model import open_model
from sgtool.latents.perceptual import choose
from sgtool.latents.projection import film, outputs, scores, targets
from sgtool.latents.projection.finish import project_pending
from sgtool.latents.projection.job import Job, Known, checked_label, default_batch, settings_for
from sgtool.latents.projection.workplace import Workplace


@dataclass(frozen=True)
class Report:
    """What came of a projection.

    Attributes:
        number: of projected pictures, those of an earlier run included.
        skipped: list of (source, reason).
        table: the scores, as lines of text.
        sheet: path of the sheet.
    """

    number: int
    skipped: list
    table: list
    sheet: Path


def project_files(request, *, progress=False, warn=warnings.warn, say=lambda text: None):
    """Project pictures into a model's latent space and write what is found, see docs/project.md.

    Args:
        request: `Request`.
        progress: show bars on stderr.
        warn: called with the text of each warning.
        say: called with lines on what is done.
    Returns:
        `Report`.
    Raises:
        UserError: whatever the user can mend.
        SystemExit: stopped by Ctrl-C or SIGTERM, after what is done was saved; code 128 + signal.
    """
    job = prepared(request, progress, warn, say)
    with Workplace(job.outdir) as place:
        names = [name for each in job.names.values() for name in each]
        together = [outputs.ALL_LATENTS, outputs.SCORES, outputs.SHEET, outputs.PREVIEW, outputs.TUNED]
        outputs.refuse_strangers(job.outdir, dict.fromkeys(names + together))
        place.sweep(names + together)
        known, skipped = read_all(job, request, say)

        def target(name):
            return outputs.read_pixels(job.outdir / job.names[name].target)

        project_pending(job, known, place, target, fps=request.fps, preview=request.preview, progress=progress, say=say)
        return report(job, known, skipped)


def prepared(request, progress, warn, say):
    """Check all that can be checked before the first picture is read, and return the `Job`."""
    _check(request)
    outdir = make_folder(request.outdir, "--outdir")
    numbers = {"num_steps": request.num_steps, "seed": request.seed, "patience": request.patience}
    numbers |= {"tuning_steps": request.tuning_steps, "tuning_learning_rate": request.tuning_rate}
    settings, tuned = settings_for(request.space, **numbers)
    listing = targets.list_targets(request.target, warn)
    video = _video(request, listing, say)
    needs_D = request.perceptual in ("auto", "discriminator")
    model = open_model(
        request.network, networks=("D",) if needs_D else (), device=request.device, precision=request.precision,
        offline=request.offline, progress=progress, warn=warn, say=say,
    )  # fmt: skip
    targets.check_channels(model.G, model.path.name)
    label = checked_label(model, request.label, warn)
    distance = choose(request.perceptual, model.D, request.weights, model.G.img_channels, model.device)
    say(distance.note)
    height, width = picture_size(model.G)
    background = None if request.background is None else parse_colour(request.background)
    look = targets.Look((width, height), model.G.img_channels, background, request.align == "faces", request.landmarks)
    batch = request.batch or default_batch(model.G)
    tune = request.tune if tuned else None
    if tune == "together" and len(listing.names) > batch:
        raise UserError(
            f"--tune together tunes one network for {len(listing.names)} pictures, which are computed at once: "
            f"give --batch {len(listing.names)}, if memory allows, or leave --tune out."
        )
    return Job(model, distance, settings, listing, look, outdir, label, tune, batch, video)


def _check(request):
    """Refuse numbers that are none, and results among the targets, where the next run would find them."""
    for option, value in (("--fps", request.fps), ("--preview", request.preview)):
        if value is not None and not math.isfinite(value):
            raise UserError(f"{option} {value} is not a number to work with. Give one like 10.")
    target, outdir = Path(os.path.realpath(request.target)), Path(os.path.realpath(request.outdir))
    if target.is_dir() and target in (outdir, *outdir.parents):
        raise UserError(
            f"--outdir {request.outdir} lies in --target {request.target}: its pictures would be targets the next time. "
            "Choose a folder beside it."
        )


def _video(request, listing, say):
    """Decide whether videos are written."""
    if request.video is False or (request.video is None and not listing.single):
        return False
    refusal = film.refusal()
    if refusal and request.video:
        raise UserError(f"--save-video: {refusal}")
    if refusal:
        say(f"No video is written: {refusal}")
    return refusal is None


def read_all(job, request, say):
    """Read all targets, write each as the network's size has it, and tell what was done to them.

    Returns:
        (list of `Known`, list of (source, reason) of those that are left out).
    Raises:
        UserError: none is left, or one cannot be used with --strict.
    """
    known, skipped, notes = [], [], Counter()
    for i, name in enumerate(job.listing.names):
        try:
            target = targets.read_target(job.listing, i, job.look)
        except Skip as skip:
            skipped.append((job.listing.sources[i], str(skip)))
            if request.strict or job.listing.single:
                raise UserError(_refusal(job, *skipped[-1])) from skip
            continue
        notes.update(target.notes)
        known.append(Known(name, target.source, target.sha256))
        about = {**job.model.recipe(), "target": target.source, "target_sha256": target.sha256}
        outputs.write_target(job.outdir / job.names[name].target, target, about)
    if skipped:
        say("\n".join(targets.skipped_lines(skipped)))
    if not known:
        raise UserError(f"--target {request.target}: none of its pictures can be used; {skipped[0][0]}: {skipped[0][1]}.")
    line = targets.told(notes, len(known), job.look, request.background or "white")
    if line:
        say(line)
    return known, skipped


def _refusal(job, source, reason):
    remedy = "Give another picture" + (", or leave --align out." if job.look.faces else ".")
    if not job.listing.single:
        remedy = "Remove it, or leave --strict out."
    return f"--target: {source} cannot be used: {reason}. {remedy}"


def report(job, known, skipped):
    """Write what is about all pictures: latents, scores, the sheet."""
    rows = [_row(job, target) for target in known]
    recipe = {**job.model.recipe(), **job.facts()}
    if not job.listing.single:
        parts = [read_latents(job.outdir / job.names[target.name].latents) for target in known]
        latents = joined(parts)
        latents.names, latents.recipes = [target.name for target in known], [part.recipes[0].get("made", {}) for part in parts]
        latents.network_sha256 = job.model.sha256
        write_latents(job.outdir / outputs.ALL_LATENTS, latents, recipe)
    outputs.write_scores(job.outdir / outputs.SCORES, recipe | {"median": scores.medians(rows)}, rows, skipped)
    sheet = job.outdir / outputs.SHEET
    size = picture_size(job.model.G)
    pairs = (tuple(outputs.read_pixels(job.outdir / name) for name in job.names[target.name][:2]) for target in known)
    scores.write_comparison(
        sheet, pairs, len(known), size, job.model.G.img_channels, recipe | {"targets": len(known)},
        None if job.listing.single else [target.name for target in known], scores.enlargement(size),
    )  # fmt: skip
    (job.outdir / outputs.PREVIEW).unlink(missing_ok=True)
    return Report(len(known), skipped, scores.table(rows, job.distance.name), sheet)


def _row(job, target):
    made = outputs.made_of(job.outdir / job.names[target.name].latents)
    return {"name": target.name, "target": target.source, **made["scores"]}
