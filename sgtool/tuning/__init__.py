"""A ladder of short trainings over gamma and learning rate, and which of them to go on with."""

from sgtool.tuning.run import tune

__all__ = ["tune"]
