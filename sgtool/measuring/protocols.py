"""Names are protocols: `fid50k_full` says which metric, of how many pictures, against which, and how they are looked at.

The names and numbers of FID, KID, precision and recall, Inception score and path length are those of stylegan2-ada-pytorch, so
that values compare with published ones. The definitions themselves are in `sgtool.metrics`.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sgtool.errors import UserError

MOST = 10_000_000  # pictures: more than that is a slip
NVIDIAS = (
    "fid50k_full", "kid50k_full", "pr50k3_full", "is50k", "ppl2_wend", "fid50k", "kid50k", "pr50k3",
    "ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend",
)  # fmt: skip
OURS = ("swd16k", "msssim10k", "density_coverage", "clean_fid", "memorization")
NAMES = NVIDIAS + OURS
OFFLINE = ("swd16k", "msssim10k")  # what needs no weights


@dataclass(frozen=True)
class Protocol:
    """Everything that a metric's name says."""

    name: str
    metric: str  # row of `compute.METRICS`, or "ppl"
    count: int  # generated pictures; of path length: paths
    real: int | None  # real pictures at most; None = all there are; 0 = none
    detector: str | None  # "inception", "inception-clean", "vgg16" or "lpips"; None = the pictures themselves
    spelling: str  # of the name, with {} for the count
    choice: str = "first"  # which pictures, of more than are needed: the "first" ones, or a "random" sample
    mirror: bool = False  # real pictures are mirrored too, if that is asked for
    equal: bool = False  # as many real pictures as generated ones, no fewer
    least: int = 2  # pictures of each set without which there is no number
    settings: Mapping = dataclasses.field(default_factory=dict)  # of the metric's function

    def of(self, count):
        """Return the protocol with another count, which its name tells."""
        real = count if self.real == self.count else self.real
        name = self.spelling.format(_count_text(self.metric, count))
        return dataclasses.replace(self, name=name, count=count, real=real)

    def by(self, detector_name):
        """Return the protocol with a detector of the user's own, which its name tells."""
        return dataclasses.replace(self, name=f"{self.name}-{detector_name}", spelling=f"{self.spelling}-{detector_name}")


def parse(name):
    """Return the protocol of a name.

    Args:
        name: one of `NAMES`, or one with another count: fid5k_full, kid500, pr5k3, swd2k, memorization2k, ppl2_wend1k.
    Raises:
        UserError: there is none of that name; says which is the nearest.
    """
    for pattern, make in _FAMILIES:
        if match := re.fullmatch(pattern, name):
            words = match.groupdict()
            protocol = make(words, _count(name, words))
            if protocol.count < protocol.least:
                raise UserError(f"--metrics {name}: it needs at least {protocol.least} pictures. Name a larger count.")
            return protocol
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0)
    raise UserError(f"--metrics {name[:60]}: there is no such metric; the nearest is {near[0]}. There are: {', '.join(NAMES)}.")


def parse_list(text):
    """Return the protocols of names separated by commas, each once, in their order."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"--metrics names no metric. There are: {', '.join(NAMES)}.")
    return [parse(name) for name in dict.fromkeys(names)]


def _thousand(metric):
    """What k stands for: the sliced Wasserstein distance was published with 16,384 pictures, called 16k."""
    return 1024 if metric == "swd" else 1000


def _count_text(metric, count):
    thousands, rest = divmod(count, _thousand(metric))
    if rest or not thousands:
        return f"{count}_" if metric == "pr" else str(count)  # pr500_3, because pr5003 would say nothing
    return f"{thousands}k"


def _count(name, words):
    """Return the count in a name; None if it has none."""
    text = words["count"]
    if not text:
        return None
    metric = re.match("[a-z]+", name)[0]
    number = int(text.rstrip("k")) * (_thousand(metric) if text.endswith("k") else 1)
    if not 1 <= number <= MOST:
        raise UserError(f"--metrics {name}: {number:,} pictures are out of range. Name 1 to {MOST:,}.")
    return number


def _named(protocol):
    """Return the protocol with the name that its count has."""
    return protocol.of(protocol.count)


def _fid(words, count):
    full = bool(words["full"])
    real = None if full else count
    return _named(Protocol("", "fid", count, real, "inception", "fid{}" + "_full" * full, mirror=not full))


def _kid(words, count):
    full = bool(words["full"])
    settings = {"subset_size": 1000, "num_subsets": 100}
    real = 1_000_000 if full else count
    return _named(Protocol("", "kid", count, real, "inception", "kid{}" + "_full" * full, mirror=not full, settings=settings))


def _pr(words, count):
    full, k = bool(words["full"]), int(words["k"])
    spelling = f"pr{{}}{k}" + "_full" * full
    real = 200_000 if full else count
    return _named(Protocol("", "pr", count, real, "vgg16", spelling, mirror=not full, least=k + 1, settings={"k": k}))


def _is(words, count):
    return _named(Protocol("", "is", count, 0, "inception", "is{}", least=10, settings={"splits": 10}))


def _ppl(words, count):
    space, sampling = words["space"], words["sampling"]
    stem = f"ppl{words['version']}_{space}{sampling}"
    crop = not words["version"]  # path lengths of StyleGAN's first paper look at the middle of the picture
    settings = {"space": space, "sampling": sampling, "epsilon": 1e-4, "crop": crop}
    return _plain(Protocol("", "ppl", count or 50_000, 0, "lpips", stem + "{}", least=1, settings=settings), stem, count)


def _swd(words, count):
    return _named(Protocol("", "swd", count, count, None, "swd{}", choice="random", equal=True, mirror=True))


def _msssim(words, count):
    settings = {"pairs": max(1, count // 2)}
    return _named(Protocol("", "msssim", count, count, None, "msssim{}", choice="random", mirror=True, settings=settings))


def _density_coverage(words, count):
    stem, number = "density_coverage", count or 10_000
    protocol = Protocol("", stem, number, number, "vgg16", stem + "{}", "random", equal=True, least=6, settings={"k": 5})
    return _plain(protocol, stem, count)


def _clean_fid(words, count):
    return _plain(Protocol("", "clean_fid", count or 50_000, None, "inception-clean", "clean_fid{}"), "clean_fid", count)


def _memorization(words, count):
    stem = "memorization"
    protocol = Protocol("", stem, count or 10_000, None, "inception", stem + "{}", mirror=True, settings={"percentile": 1})
    return _plain(protocol, stem, count)


def _plain(protocol, stem, count):
    """Name a protocol whose count, if it is the usual one, is not in the name."""
    return dataclasses.replace(protocol, name=stem) if count is None else _named(protocol)


_NUMBER = "(?P<count>[0-9]{1,9}k?)"
_FAMILIES = (
    (rf"fid{_NUMBER}(?P<full>_full)?", _fid),
    (rf"kid{_NUMBER}(?P<full>_full)?", _kid),
    (r"pr(?P<count>[0-9]{1,9}k|[0-9]{1,9}(?=_))_?(?P<k>[1-9][0-9]?)(?P<full>_full)?", _pr),
    (rf"is{_NUMBER}", _is),
    (rf"ppl(?P<version>2)_(?P<space>w)(?P<sampling>end){_NUMBER}?", _ppl),
    (rf"ppl(?P<version>)_(?P<space>[zw])(?P<sampling>full|end){_NUMBER}?", _ppl),
    (rf"swd{_NUMBER}", _swd),
    (rf"msssim{_NUMBER}", _msssim),
    (rf"density_coverage{_NUMBER}?", _density_coverage),
    (rf"clean_fid{_NUMBER}?", _clean_fid),
    (rf"memorization{_NUMBER}?", _memorization),
)
