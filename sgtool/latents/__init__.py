"""From seeds and latents to pictures."""

from sgtool.latents.gallery import generate_files
from sgtool.latents.generate import generate
from sgtool.latents.seeds import latents_of_seeds, one_hot

__all__ = ["generate", "generate_files", "latents_of_seeds", "one_hot"]
