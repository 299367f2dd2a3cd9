"""How good and how varied generated pictures are: arrays in, a number out.

What stands here needs no download. See docs/metrics.md for what each number says.
"""

from sgtool.metrics.ms_ssim import diversity, ms_ssim
from sgtool.metrics.wasserstein import sliced_wasserstein, sliced_wasserstein_levels

__all__ = ["diversity", "ms_ssim", "sliced_wasserstein", "sliced_wasserstein_levels"]
