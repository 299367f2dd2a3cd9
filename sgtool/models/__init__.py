"""Things to do with a model as a whole: look at it, convert it, export it to run without sgtool."""

from sgtool.models.conversion import TARGETS, convert
from sgtool.models.preview import write_preview

__all__ = ["TARGETS", "convert", "write_preview"]
