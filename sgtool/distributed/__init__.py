"""Several processes that work as one: who they are, what they exchange, how they are started on one machine."""

from sgtool.distributed.launch import launched
from sgtool.distributed.world import ALONE, PeerLost, World, is_joined_from_outside, joined, place_in_job

__all__ = ["ALONE", "PeerLost", "World", "is_joined_from_outside", "joined", "launched", "place_in_job"]
