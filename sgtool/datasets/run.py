"""One run, step by step: look, plan, do the jobs, select, merge, finish, publish. Each step can be taken up after a kill."""

import json
import os
from dataclasses import replace

from tqdm import tqdm

from sgtool.datasets.cluster import Cluster
from sgtool.datasets.contents import contents_of
from sgtool.datasets.geometry import output_size
from sgtool.datasets.headers import refuse_if, settle
from sgtool.datasets.holdout import parse_holdout
from sgtool.datasets.jobs import Job, Recipe, Unwanted, do
from sgtool.datasets.labels import read_labels
from sgtool.datasets.merge import entries, merge, moved, publish, records, standing
from sgtool.datasets.pool import Pool, workers_for
from sgtool.datasets.report import report_of
from sgtool.datasets.selection import select
from sgtool.datasets.shards import Damaged, Resumable, is_complete, remove_shard
from sgtool.datasets.sheets import write_sheets
from sgtool.datasets.sources import check_there, open_source
from sgtool.datasets.targets import check_space, check_targets, targets_of
from sgtool.datasets.workplace import PUBLISH, REPORTS, disregard, fingerprint_of, work_folder

CHUNK_PIXELS = 1 << 21  # output pixels of one job
CHUNK_PICTURES = 512
LEAST_JOBS = 32
PHOTOS_OF_FACES = 8  # of one job, as finding faces takes long
REPAIRS = 3  # times that damaged shards are made again
NO_LABEL = Unwanted("no label")
PLAN = "plan.json"


class Run:
    """What one call of `prepare.prepare_all` does. Everything that can be refused at once is refused here.

    Args:
        source, dest: as the user gave them.
        request: `Request`.
        force, progress, say: see `prepare.prepare_all`.
    """

    def __init__(self, source, dest, request, force, progress, say):
        self.path, self.dest, self.request = str(source), dest, request
        self.force, self.progress, self.say = force, progress, say
        self.conversions = request.conversions()
        self.faces = request.face_options()
        self.targets = targets_of(dest, request.sizes(), request.holdout is not None)
        request.check_sheet(force)
        if request.drop:
            from sgtool.datasets.judge import check_kinds  # late: SciPy is needed for it

            check_kinds(request.drop)
        if request.holdout is not None:
            parse_holdout(request.holdout)
        check_there(source)  # now, as the folder of `dest` may be made in its place
        check_targets(self.targets, source, force, self._moved_before())

    def _moved_before(self):
        """Places that a run which was killed while it published has filled already."""
        folder = work_folder(self.dest)
        try:
            with open(folder / PUBLISH, encoding="utf-8") as file:
                return moved(folder, json.load(file))
        except (OSError, ValueError):
            return set()

    def go(self, place, workers, cluster):
        """Do all of it in a locked `Workplace`; return `{path: report}`."""
        if self.faces:
            self._check_faces()
        self._open(cluster)
        disregard(place.folder, self.source, self.path)
        before = place.begin(self._fingerprint())
        if before == "resumed" and place.noted(PUBLISH) is not None:
            return self._publish(place)
        if before != "resumed":
            check_targets(self.targets, self.path, self.force)
        if before == "anew":
            self.say("An earlier run to this DEST had other options, pictures or versions: starting anew.")
        with self._pool(workers, cluster, place) as pool:
            self._plan(place, pool)
            self._work(place, pool)
        return self._publish(place)

    # -- before the work

    def _check_faces(self):
        from sgtool.datasets.faces import LICENCE, Detector  # late: dlib is needed for faces alone

        Detector(self.faces.landmarks)
        if self.faces.landmarks is None:
            self.say(LICENCE)

    def _open(self, cluster):
        request, path = self.request, self.path
        if cluster is not None and not path.startswith("demo:"):
            path = os.path.abspath(path)  # the workers are in other folders
        self.source = open_source(path, request.tile, request.frames, request.every)
        self.labels = read_labels(self.source, request.labels, request.label_regex, request.unlabelled)
        self.bare = frozenset(self.labels.unlabelled if self.labels else ())
        self.number = min(len(self.source.names), request.max_images or len(self.source.names))

    def _picture(self, index):
        """A picture of the source, or why it is not wanted."""
        return NO_LABEL if self.bare and self.source.names[index] in self.bare else self.source.picture(index)

    def _fingerprint(self):
        asked = [self.request.as_dict(), [target.part for target in self.targets]]
        return fingerprint_of(self.path, asked, self.source, self.number, self.labels)

    def _pool(self, workers, cluster, place):
        if cluster is not None:
            return Cluster(cluster, os.path.abspath(self.path) if os.path.exists(self.path) else None, place.folder)
        return Pool(workers_for(self.number, workers))

    def _plan(self, place, pool):
        """Settle sizes, channels and jobs."""
        known = place.noted(PLAN)
        if known is None:
            names = self.source.names[: self.number]
            args = (self.request.channels, names, self._picture, pool, self.request.strict, self.progress)
            self.conversions = settle(self.conversions, *args, whole=self.faces is None)
            place.note(PLAN, [[c.size, c.channels] for c in self.conversions])
        else:
            self.conversions = tuple(
                replace(c, size=tuple(size), channels=channels)
                for c, (size, channels) in zip(self.conversions, known, strict=True)
            )
        sizes = [output_size((1, 1), conversion) for conversion in self.conversions]
        self.shapes = [(*size, c.channels) for size, c in zip(sizes, self.conversions, strict=True)]
        pixels = sum(width * height for width, height in sizes)
        most = PHOTOS_OF_FACES if self.faces else min(CHUNK_PICTURES, CHUNK_PIXELS // pixels)
        self.step = max(1, min(most, -(-self.number // LEAST_JOBS)))
        self.shards = -(-self.number // self.step)
        self.recipe = Recipe(self.conversions, str(place.folder), self.faces, self.request.measured)
        done = sum(path.stat().st_size for path in place.folder.rglob("*") if path.is_file())
        check_space(self.dest, place.folder, self.number, self.shapes, done)

    # -- the work

    def _work(self, place, pool):
        """Do the jobs and merge them; what is found damaged is done again."""
        for _ in range(REPAIRS):
            try:
                self._do_jobs(place, pool)
                chosen = select(records(place, self.shards), self.source, self.number, self.labels, self.request)
                contents = contents_of(records(place, self.shards), self.targets, chosen, self.source, self.labels, self.request)
                with self._bar("writing", sum(content.written for content in contents)) as bar:
                    parts = merge(place, self.targets, self.shards, chosen.sides, bar.update)
                try:
                    self._finish(place, parts, chosen, contents)
                finally:
                    for part in parts:
                        part.close()
                return
            except Damaged as damaged:
                self.say(f"The work folder {place.folder} was damaged (shard {damaged}): doing that part again.")
                remove_shard(place.folder, damaged.args[0])
        raise Resumable(f"{place.folder} is damaged again and again. Check the disk, or choose a DEST on another one.")

    def _do_jobs(self, place, pool):
        merged = standing(place, self.targets).shards
        missing = [n for n in range(self.shards) if not is_complete(place.folder, n, with_data=n >= merged)]
        done = self.number - sum(len(self._range(n)) for n in missing)
        if done:
            self.say(f"Going on with what an earlier run has done: {done} of {self.number} pictures.")
        with self._bar("preparing", self.number, done) as bar:
            for result in pool.map(do, map(self._job, missing)):
                if result.unreadable:
                    index, reason = result.unreadable
                    refuse_if(self.request.strict, self.source.names[index], reason)
                bar.update(result.pictures)

    def _range(self, number):
        return range(number * self.step, min((number + 1) * self.step, self.number))

    def _job(self, number):
        indices = self._range(number)
        names = self.source.names[indices[0]], self.source.names[indices[-1]]
        return Job(self.recipe, number, indices[0], [self._picture(i) for i in indices], names)

    def _bar(self, verb, total, done=0):
        return tqdm(desc=verb, total=total, initial=done, unit=" pictures", disable=None if self.progress else True)

    # -- after the work

    def _finish(self, place, parts, chosen, contents):
        """Complete the datasets with dataset.json, prepare.json and the list of contents."""
        reports, asked = [], (self.path, self.request.as_dict())
        for target, part, content in zip(self.targets, parts, contents, strict=True):
            shape = self.shapes[target.edition]
            report = report_of(target, shape, content, self.number, self.source, self.labels, asked)
            texts = {"dataset.json": content.dataset_json(), "prepare.json": json.dumps(report, indent=2).encode()}
            part.finish(entries(place, target, self.shards, chosen.sides), texts)
            reports.append([str(target.dest), report])
        moves = [[target.part, str(target.dest.absolute())] for target in self.targets]
        if self.request.faces_sheet is not None:
            moves += write_sheets(place, self.request.faces_sheet, self.source, records(place, self.shards))
        place.note(REPORTS, reports)
        place.note(PUBLISH, moves)

    def _publish(self, place):
        check_targets(self.targets, self.path, self.force, self._moved_before())  # others may have come meanwhile
        publish(place, place.noted(PUBLISH))
        return dict(place.noted(REPORTS))
