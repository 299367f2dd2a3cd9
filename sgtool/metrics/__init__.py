"""How good and how varied generated pictures are: arrays in, a number out.

See docs/metrics.md for what each number says, and when it does not.
"""

from sgtool.metrics.confidence import bootstrap_interval
from sgtool.metrics.density_coverage import density_coverage, density_coverage_hits
from sgtool.metrics.frechet import frechet_distance, frechet_distance_of
from sgtool.metrics.inception_score import inception_score, inception_scores
from sgtool.metrics.kernel import kernel_distance, kernel_distances
from sgtool.metrics.memorization import Memorization, memorization
from sgtool.metrics.ms_ssim import diversity, ms_ssim
from sgtool.metrics.path_length import path_length, path_length_distances
from sgtool.metrics.precision_recall import precision_recall, precision_recall_hits
from sgtool.metrics.statistics import MeanAndCovariance, mean_and_covariance
from sgtool.metrics.wasserstein import sliced_wasserstein, sliced_wasserstein_levels

__all__ = [
    "MeanAndCovariance",
    "Memorization",
    "bootstrap_interval",
    "density_coverage",
    "density_coverage_hits",
    "diversity",
    "frechet_distance",
    "frechet_distance_of",
    "inception_score",
    "inception_scores",
    "kernel_distance",
    "kernel_distances",
    "mean_and_covariance",
    "memorization",
    "ms_ssim",
    "path_length",
    "path_length_distances",
    "precision_recall",
    "precision_recall_hits",
    "sliced_wasserstein",
    "sliced_wasserstein_levels",
]
