"""Two models, one: checked, blended, written with where it comes from, and shown."""

from sgtool.latents.blending.run import Blended, blend_files

__all__ = ["Blended", "blend_files"]
