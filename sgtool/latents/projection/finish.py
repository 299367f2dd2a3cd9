"""Which pictures are still to be projected, and the files of those that are."""

import numpy as np
import torch
from tqdm import tqdm

from sgtool import images, snapshots
from sgtool.latents import recipes
from sgtool.latents.generate import picture_size, render
from sgtool.latents.projection import film, outputs, scores
from sgtool.latents.projection.job import AUTO, class_of, digest_of
from sgtool.latents.projection.optimise import Batch, Stopped, Watch
from sgtool.latents.projection.workplace import Stop


def project_pending(job, known, place, targets, *, fps=10, preview=None, progress=False, say=lambda text: None):
    """Project what is not finished, and write the files of each picture.

    Args:
        job: `Job`.
        known: list of `Known`: all targets.
        place: `Workplace`, entered.
        targets: function from a name to the target, uint8 `[H, W, C]`.
        fps: of the video.
        preview: seconds between two previews; None = none.
        progress: show a bar on stderr.
        say: called with lines of text.
    Raises:
        SystemExit: stopped by a signal, after what is done was saved.
    """
    marks = job.fingerprints(known)
    _tell(job, known, marks, say)
    stop = Stop()
    while pending := [name for name, mark in marks.items() if not outputs.finished(job.outdir, job.wanted(name), mark)]:
        what = digest_of([marks, job.video, job.model.recipe()["version"]])
        batches, dropped = place.begin(what, pending, job.batch)
        if dropped:
            say(f"{place.folder} held unfinished work of other options or pictures, which is dropped.")
        elif place.work() is not None:
            say(f"Going on from the work in {place.folder}.")
        with stop.listening(), _bar(job, [names for names in batches if set(names) & set(pending)], progress) as bar:
            watch = Watch(place, stop, bar, lambda *pair: _write_preview(job, *pair), preview)
            finish = Finish(job, {target.name: target for target in known}, marks, targets, watch, fps)
            try:
                for names in batches:
                    finish.batch(names)
            except Stopped as stopped:
                say(f"Stopped; what is done is in {place.folder}. The same command goes on from there.")
                raise SystemExit(128 + stopped.args[0]) from stopped
        place.clear()


def _tell(job, known, marks, say):
    """Say what is there already."""
    done = sum(outputs.finished(job.outdir, job.wanted(name), mark) for name, mark in marks.items())
    others = sum((job.outdir / job.names[target.name].latents).exists() for target in known) - done
    if done and not job.latents_only:
        say(f"{done} of {len(known)} are projected already." if len(known) > 1 else "It is projected already.")
    if others > 0:
        say(f"{job.outdir} holds results of other options, another model or other pictures: they are replaced.")


def _bar(job, batches, progress):
    """Return a bar over all steps that there are at most."""
    groups = sum(len(names) if job.tune == "each" else 1 for names in batches) if job.tune else 0
    steps = len(batches) * job.settings.num_steps + groups * job.settings.tuning_steps
    number = sum(map(len, batches))
    what = "1 picture" if number == 1 else f"{number} pictures"
    return tqdm(total=steps, desc=what, unit="step", leave=False, disable=None if progress else True)


def _write_preview(job, targets, found):
    size = picture_size(job.model.G)
    pairs = zip(targets, found, strict=True)
    scores.write_comparison(
        job.outdir / outputs.PREVIEW, pairs, len(found), size, job.model.G.img_channels, job.model.recipe(),
        enlarge=scores.enlargement(size),
    )  # fmt: skip


class Finish:
    """Projects batches and writes what comes of them.

    Args:
        job: `Job`.
        known: {name: `Known`}.
        marks: {name: fingerprint}.
        targets: function from a name to the target, uint8 `[H, W, C]`.
        watch: `Watch`.
        fps: of the video.
    """

    def __init__(self, job, known, marks, targets, watch, fps):
        self.job, self.known, self.marks, self.targets = job, known, marks, targets
        self.watch, self.fps = watch, fps

    def _is_done(self, name):
        return outputs.finished(self.job.outdir, self.job.wanted(name), self.marks[name])

    def batch(self, names):
        """Project some pictures together.

        Raises:
            Stopped: a signal has come.
        """
        if all(map(self._is_done, names)):
            return
        batch = Batch(self.job, names, np.stack([self.targets(name) for name in names]), self.watch)
        try:
            search, work = batch.search()
            each = self.job.tune != "together"
            for members in [[i] for i in range(len(names))] if each else [list(range(len(names)))]:
                if not all(self._is_done(names[i]) for i in members):
                    G = batch.tune(search, members, work) if self.job.tune else self.job.model.G
                    self._write(batch, search, members, G)
        finally:
            batch.close()
        self.watch.place.drop()

    def _write(self, batch, search, members, G):
        """Write the files of some pictures, whose latents show them in `G`; of each the latents last."""
        job, outdir = self.job, self.job.outdir
        ws = search.ws()[members].cpu()
        found, pixels = np.stack(list(render(G, ws, batch=job.batch))), batch.pixels[members]
        rated = scores.score(pixels, found, job.distance, job.model.device)
        made = [self._recipe(batch, search, i, row) for i, row in zip(members, rated, strict=True)]
        sha256 = self._write_network(G, [batch.names[i] for i in members], ws, made) if job.tune else job.model.sha256
        for k, i in enumerate(members):
            names = job.names[batch.names[i]]
            if not job.latents_only:
                images.save_png(outdir / names.picture, found[k], recipes.texts(made[k]))
            if job.video:
                self._write_film(outdir / names.video, batch, i, made[k])
            outputs.write_row(outdir / names.latents, ws[k], batch.names[i], made[k], sha256)

    def _recipe(self, batch, search, i, rated):
        name = batch.names[i]
        recipe = self.job.recipe(self.known[name], self.marks[name]) | {"scores": rated}
        chosen = self.job.label == AUTO and search.labels is not None
        return recipe | ({"class": class_of(search.labels[i]), "class_chosen": True} if chosen else {})

    def _write_network(self, G, names, ws, made):
        """Write a tuned network and return its hash, under which its pivots are known."""
        name = self.job.names[names[0]].network if self.job.tune == "each" else outputs.TUNED
        path = self.job.outdir / name
        pivots = [{**recipe, "name": name, "w": w[0].tolist()} for name, recipe, w in zip(names, made, ws, strict=True)]
        about = {"base": self.job.model.recipe(), "settings": self.job.numbers(), "pivots": pivots}
        outputs.write_network(path, self.job.model.snapshot, G, about)
        return snapshots.network_hash(path)

    def _write_film(self, path, batch, i, recipe):
        latents = tqdm(batch.frames.of(i), desc=path.name, unit="frame", leave=False, disable=self.watch.bar.disable or None)
        film.write_film(path, self.job.model.G, batch.pixels[i], self._until_stopped(latents), self.fps, recipe)

    def _until_stopped(self, latents):
        for w in latents:
            if self.watch.stop.signal is not None:
                raise Stopped(self.watch.stop.signal)
            yield torch.from_numpy(w)
