"""Projection: from a picture to the latents that show it."""

from sgtool.latents.projection.kept import projected
from sgtool.latents.projection.request import Request
from sgtool.latents.projection.run import project_files

__all__ = ["Request", "project_files", "projected"]
