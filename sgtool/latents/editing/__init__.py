"""Directions in W: found by factorization, by principal components or from labelled examples, looked at, and used."""

from sgtool.latents.editing.run import find_files, use_files

__all__ = ["find_files", "use_files"]
