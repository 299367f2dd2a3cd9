"""The pictures of one batch: searched, perhaps tuned, saved every few seconds, and gone on with after whatever stopped it."""

import time

import torch

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents.projection.search import Search
from sgtool.latents.projection.tuning import Tuning
from sgtool.latents.projection.workplace import SAVE_SECONDS, Clock

SHARE_OF_SAVING = 10  # saving takes at most a tenth of the time


class Stopped(Exception):
    """A signal has stopped the work; its number is the argument. All that was done is saved."""


class Watch:
    """What happens between two steps: the bar moves, the state is saved, the preview written, a signal heard.

    Args:
        place: `Workplace`.
        stop: `Stop`.
        bar: tqdm over all steps.
        preview: function of (targets, pictures), both uint8 `[N, H, W, C]`, or None.
        seconds: between two previews.
    """

    def __init__(self, place, stop, bar, preview=None, seconds=None):
        self.place, self.stop, self.bar, self.preview = place, stop, bar, preview
        self._saves, self._previews = Clock(SAVE_SECONDS), Clock(seconds if preview else None)

    def step(self, values, state, pictures):
        """Note a step.

        Args:
            values: `[N]` distances.
            state: function that gives what is to be saved.
            pictures: function that gives (targets, pictures), both uint8.
        Raises:
            Stopped: a signal has come.
        """
        self.bar.update()
        if not self.bar.disable and self.bar.n % 10 == 0:
            self.bar.set_postfix_str(f"distance {float(values.nanmean()):.4f}", refresh=False)
        if self._saves.due() or self.stop.signal is not None:
            self.save(state())
        if self.stop.signal is not None:
            raise Stopped(self.stop.signal)
        if self._previews.due():
            self.preview(*pictures())

    def passed(self, steps):
        """Move the bar past steps of an earlier run, which do not count for the rate."""
        if not self.bar.disable:
            self.bar.initial += steps
            self.bar.n += steps
            self.bar.refresh()

    def left_out(self, steps):
        """Take steps out of the bar that were not needed."""
        self.bar.total -= steps
        self.bar.refresh()

    def save(self, state):
        """Save where the pictures stand."""
        start = time.monotonic()
        self.place.save(state)
        self._saves.seconds = max(SAVE_SECONDS, SHARE_OF_SAVING * (time.monotonic() - start))


class Batch:
    """Some pictures of a `Job`, projected together.

    Args:
        job: `Job`.
        names: of the pictures.
        pixels: their targets, uint8 `[N, H, W, C]`.
        watch: `Watch`.
    """

    def __init__(self, job, names, pixels, watch):
        self.job, self.names, self.pixels, self.watch = job, names, pixels, watch
        self.targets = images.to_float(torch.from_numpy(pixels).permute(0, 3, 1, 2)).to(job.model.device)
        self.frames = None

    def search(self):
        """Search the latents of all pictures, from where it was left.

        Returns:
            (`Search` that is finished, what else was saved).
        Raises:
            Stopped: a signal has come.
        """
        job, place = self.job, self.watch.place
        search = Search(
            job.model.G, self.targets, job.distance, job.settings, job.labels(len(self.names)),
            optimise_labels=job.label == "auto",
        )  # fmt: skip
        work = self._left(search)
        if job.video:
            self.frames = place.frames(search.ws().shape)
            if not self.frames.cut(search.step_number):
                raise UserError(f"{self.frames.path} is damaged. Remove the folder {place.folder} and give the command again.")
        if not search.finished:
            self._go(search)
            self.watch.save(self._state(search))
        self.watch.left_out(job.settings.num_steps - search.step_number)
        return search, work

    def close(self):
        """Close the record of latents."""
        if self.frames is not None:
            self.frames.close()

    def _left(self, search):
        """Take up what was saved of these pictures."""
        work = self.watch.place.work()
        if work is None or work.get("names") != self.names:
            return {}
        search.load_state_dict(work["search"])
        self.watch.passed(search.step_number)
        return work

    def _go(self, search):
        def pictures():
            return self.pixels, images.to_uint8(search.pictures(own_noise=True))

        while not search.finished:
            values = search.step()["distance"]
            if not torch.isfinite(values).all():
                raise UserError(
                    f"{self.job.model.path.name} makes pictures that are not finite numbers: its training diverged. "
                    "Use an earlier snapshot."
                )
            if self.frames is not None:
                self.frames.put(search.ws().cpu().numpy())
            self.watch.step(values, lambda: self._state(search), pictures)

    def _state(self, search, **more):
        if self.frames is not None:
            self.frames.flush()
        return {"names": self.names, "search": search.state_dict(), **more}

    def tune(self, search, members, work):
        """Tune a network around the latents of some of the pictures, from where it was left.

        Args:
            search: `Search` that is finished.
            members: numbers of the pictures.
            work: what `search` gave.
        Returns:
            the tuned generator.
        Raises:
            Stopped: a signal has come.
        """
        job, targets = self.job, self.targets[members]
        noises = {name: maps[members] for name, maps in search.noises().items()} if len(members) == 1 else None
        tuning = Tuning(job.model.G, search.ws()[members], targets, job.distance, job.settings, noises, job.batch)
        if work.get("members") == members:
            tuning.load_state_dict(work["tuning"])
            self.watch.passed(tuning.step_number)

        def state():
            return self._state(search, members=members, tuning=tuning.state_dict())

        def pictures():
            return self.pixels[members], images.to_uint8(tuning.pictures())

        while not tuning.finished:
            values = tuning.step()["distance"]
            if not torch.isfinite(values).all():
                raise UserError(
                    f"The tuning no longer gives finite numbers after {tuning.step_number} steps. Give a lower --tuning-rate "
                    f"than {tuning.learning_rate:.2g}."
                )
            self.watch.step(values, state, pictures)
        return tuning.network()
