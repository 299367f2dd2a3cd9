"""Layers that are not trained: they must be those of a trained network, as new ones would stay random."""

from sgtool.errors import UserError


def check_discriminator(D, found, freezed):
    """Raise UserError if a frozen layer of D begins anew.

    Args:
        D: the run's discriminator; what does not require gradients is frozen.
        found: `Fit` of the source's, None = it has none.
        freezed: the option --freezed.
    """
    frozen = {key for key, parameter in D.named_parameters() if not parameter.requires_grad}
    new = sorted(key for key in frozen if found is None or key in found.fresh)
    if new:
        raise UserError(
            f"--freezed {freezed}: D's {new[0].rpartition('.')[0]} begins anew, and frozen it would never learn. "
            "Leave --freezed out, or freeze layers of a source whose D fits."
        )


def check_mapping(found, shapes):
    """Raise UserError if a part of G's mapping network begins anew.

    Args:
        found: `Fit` of the source's generator.
        shapes: {name: shape} of the run's.
    """
    in_part = [key for key, count in found.columns.items() if count < shapes[key][1]]
    new = [key for key in (*in_part, *found.fresh) if key.startswith("mapping.") and key != "mapping.w_avg"]
    if new:
        raise UserError(
            f"--freeze-mapping: G's {new[0].rpartition('.')[0]} begins anew{' in part' if in_part else ''}, and "
            "frozen it would never learn. Leave --freeze-mapping out, or start from a source with the same labels and latents."
        )
