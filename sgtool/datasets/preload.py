"""What worker processes are forked with (see `pool`): their modules, and Pillow's list of formats.

They lie in memory before the first fork; importing them in each worker would take 0.1 s a run.
"""

from sgtool.datasets import headers, jobs, pool
from sgtool.datasets.sources import formats

__all__ = ["headers", "jobs", "pool"]

formats()
