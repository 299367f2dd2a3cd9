"""How good a model is, by protocols with published names: pictures in, numbers with all that decided them out."""

from sgtool.measuring.measure import Request, measure
from sgtool.measuring.protocols import NAMES, Protocol, parse

__all__ = ["NAMES", "Protocol", "Request", "measure", "parse"]
