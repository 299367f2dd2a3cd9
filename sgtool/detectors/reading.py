"""Numbers out of files of weights."""

import torch

from sgtool.errors import UserError
from sgtool.snapshots.inert import shown


class OtherNetwork(UserError):
    """A whole file, but of another network than the one that is wanted."""


def numbers_of(path, name, stored, wanted):
    """Read a tensor as float32.

    Args:
        path, name: of the file and the tensor, for messages.
        stored: the tensor, as `Stored`.
        wanted: what is expected of the file, for messages: "a file of VGG16 weights".
    Raises:
        UserError: its numbers are not of a floating-point type, or not finite.
    """
    if not stored.dtype.is_floating_point:
        raise UserError(f"{path}: {shown(name, 60)} is of the type {stored.dtype}, not of floating-point numbers. Give {wanted}.")
    tensor = stored.tensor().to(torch.float32)
    if not torch.isfinite(tensor).all():
        raise UserError(f"{path}: {shown(name, 60)} has numbers that are not finite. Copy or download the file again.")
    return tensor
