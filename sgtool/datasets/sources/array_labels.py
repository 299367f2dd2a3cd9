"""Labels that come as an array of numbers."""

import numpy as np

from sgtool.errors import UserError


def labels_from_array(labels, names, where):
    """Turn an array into `{name: label}`.

    Args:
        labels: `[N]`, `[N, 1]` or `[N, D]`, integers or floats. Whole numbers from 0 and one-hot rows become class numbers (int),
            all others vectors (tuples of floats).
        names: of the N pictures.
        where: file, for the message.
    Raises:
        UserError: they are no numbers, not finite, or not as many as the pictures.
    """
    if labels.dtype.kind not in "iuf" or labels.ndim not in (1, 2) or not labels.size:
        raise UserError(f"{where} holds {labels.dtype} of shape {list(labels.shape)}, no labels. Mend or remove it.")
    if len(labels) != len(names):
        raise UserError(f"{where} has {len(labels)} labels for {len(names)} pictures. Mend or remove it.")
    if not np.isfinite(labels).all():
        raise UserError(f"{where} has labels that are not finite numbers. Mend or remove it.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    if labels.ndim == 2:
        return {name: tuple(row) for name, row in zip(names, labels.astype(float).tolist(), strict=True)}
    if (np.rint(labels) == labels).all() and labels.min() >= 0 and labels.max() < 1 << 31:
        return dict(zip(names, labels.astype(np.int64).tolist(), strict=True))
    return {name: (value,) for name, value in zip(names, labels.astype(float).tolist(), strict=True)}
