"""Whether the sets that a measurement is made of belong together."""

from sgtool.errors import UserError
from sgtool.measuring.paths import SMALLEST_CROP
from sgtool.metrics.wasserstein import PATCH


def check_sets(plan, request, warn):
    """Check that what is measured, real pictures, labels and metrics belong together.

    Args:
        plan: `plan.Plan`.
        request: `measure.Request`.
        warn: called with a text where numbers would mean something else than they seem to.
    Raises:
        UserError: they do not.
    """
    needed = next((protocol.name for protocol in plan.protocols if protocol.real != 0), None)
    if not plan.real and (needed or plan.labelled):
        reason = f"{needed} compares with real pictures" if needed else "the model makes pictures of labels, drawn from the data"
        raise UserError(f"--data is missing: {reason}. Give the dataset that the model was trained on.")
    if plan.pictures is not None and any(protocol.metric == "ppl" for protocol in plan.protocols):
        raise UserError("Path length is measured of a model, not of pictures. Give --network.")
    sets = [("--data", request.data, plan.real.get(False)), ("--held-out", request.held_out, plan.held_out)]
    for option, path, source in sets:
        if source is not None and source.shape != plan.shape:
            raise UserError(
                f"{option} {path or source.name} has pictures of {_text(source.shape)}, "
                f"but {plan.fake(0).name} has {_text(plan.shape)}. "
                f"Give pictures of the same shape, made with: sgtool prepare {_option(source.shape, plan.shape)}"
            )
    if plan.labelled:
        _check_labels(plan)
    check_shape(plan.protocols, plan.shape)
    if request.repeats > 1 and plan.pictures is not None:
        raise UserError("--repeats generates pictures anew, which --pictures cannot. Leave it out.")
    _check_held_out(plan, request, warn)
    _warn_of_data(plan, request, warn)


def check_shape(protocols, shape):
    """Refuse pictures `(C, H, W)` that a protocol cannot look at.

    Raises:
        UserError: they are too small.
    """
    side = min(shape[1:])
    for protocol in protocols:
        if protocol.metric == "swd" and side < PATCH:
            raise UserError(
                f"{protocol.name}: pictures of {shape[2]}x{shape[1]} pixels are too small for patches of {PATCH}x{PATCH}. "
                "Use msssim10k."
            )
        if protocol.metric == "ppl" and protocol.settings["crop"] and side < SMALLEST_CROP:
            raise UserError(f"{protocol.name} looks at the middle of pictures, and {side} pixels have none. Use ppl2_wend.")


def _check_held_out(plan, request, warn):
    asked = any(protocol.metric == "memorization" for protocol in plan.protocols)
    if plan.held_out is None:
        if asked:
            warn("memorization without --held-out: the baseline is each training picture against the others, "
                 "which lets copies pass where the data hold near copies of each other.")  # fmt: skip
        return
    if not asked:
        warn(f"--held-out {request.held_out} changes nothing: only memorization looks at it.")
    if plan.real and plan.held_out.key == plan.real[False].key:
        raise UserError(
            f"--held-out {request.held_out} holds the pictures of {plan.real[False].name} itself. "
            "Give pictures that were not trained on, such as those of: sgtool prepare --holdout"
        )


def _check_labels(plan):
    dataset, c_dim = plan.real[False].dataset, plan.model.G.c_dim
    if dataset.labels is None:
        raise UserError(
            f"{plan.model.path.name} needs labels, and {dataset.name} has none. Give the dataset that it was trained on."
        )
    if dataset.label_dim != c_dim:
        raise UserError(
            f"{plan.model.path.name} was trained with labels of {c_dim} classes, and {dataset.name} has {dataset.label_dim}. "
            "Give the dataset that it was trained on."
        )


def _warn_of_data(plan, request, warn):
    """Say what makes numbers mean something else than they seem to."""
    if plan.model is None or not plan.real:
        return
    known, dataset = plan.model.snapshot.config.get("fingerprint"), plan.real[False].dataset
    if known not in (None, dataset.fingerprint, dataset.mirrored().fingerprint):
        warn(f"{plan.model.path.name} was trained on other pictures than {dataset.name}, or on a part of them.")


def _option(shape, wanted):
    """What makes pictures of the wanted shape."""
    size = f"--resolution {wanted[2]}x{wanted[1]}" if shape[1:] != wanted[1:] else ""
    channels = f"--channels {wanted[0]}" if shape[0] != wanted[0] and wanted[0] in (1, 3, 4) else ""
    return " ".join(filter(None, [size, channels])) or "--help"


def _text(shape):
    return f"{shape[2]}x{shape[1]} with {shape[0]} channel{'s'[: shape[0] > 1]}"
