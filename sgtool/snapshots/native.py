"""sgtool's own snapshots: G_ema, G and D with what rebuilds them, and where they come from."""

from sgtool.errors import UserError
from sgtool.snapshots.container import write_container
from sgtool.snapshots.contents import BUILDERS, Contents, Packed
from sgtool.snapshots.inert import shown
from sgtool.snapshots.spans import Stored


def write(networks, rest, path):
    """Write a snapshot.

    Args:
        networks: {"G_ema" | "G" | "D": module with `init_kwargs`, or None}.
        rest: augment_p, nimg, config and dataset.
        path: the file; an older one stays as it is until the new one is complete.
    Raises:
        UserError: the file cannot be written, for instance on a full disk.
    """
    contents = {name: None if G is None else {"init": G.init_kwargs, "state": G.state_dict()} for name, G in networks.items()}
    write_container(contents | rest, path, "snapshot")


def describe(path, contents):
    """Return the `Contents` of what `container.checked` let pass, tensors `Stored`.

    Raises:
        UserError: a part is not what it should be.
    """
    networks = {name: _packed(path, name, contents.get(name)) for name in BUILDERS if contents.get(name) is not None}
    return Contents(
        "sgtool",
        networks,
        augment_p=_probability(path, contents),
        nimg=_checked(path, contents, "nimg", int, 0),
        config=_checked(path, contents, "config", dict, {}),
        dataset=_checked(path, contents, "dataset", dict, {}),
        exact=True,
    )


def _packed(path, name, value):
    init, state = (value.get("init"), value.get("state")) if isinstance(value, dict) else (None, None)
    if not isinstance(init, dict) or not isinstance(state, dict) or not all(isinstance(v, Stored) for v in state.values()):
        raise UserError(f"{path} is damaged: {name} is not a network. Copy or download it again.")
    return Packed(init, state)


def _probability(path, contents):
    value = _checked(path, contents, "augment_p", (int, float), 0.0)
    if not 0 <= value < 1e6:  # p of adaptive augmentation may exceed 1
        raise UserError(f"{path} is damaged: augment_p is {str(value)[:40]}. Copy or download it again.")
    return float(value)


def _checked(path, contents, key, kind, default):
    value = contents.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and abs(value) >= 2**63):
        what = f"a {type(value).__name__}" if isinstance(value, (dict, list, tuple)) else shown(repr(value))
        raise UserError(f"{path} is damaged: {key} is {what}. Copy or download it again.")
    return value
