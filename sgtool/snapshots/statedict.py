"""Bare state dicts with stylegan2-ada-pytorch's names: the keywords of the networks are inferred from the shapes."""

from sgtool.snapshots.contents import Contents, Packed
from sgtool.snapshots.infer import ASSUMED, Unlike, discriminator_keywords, generator_keywords
from sgtool.snapshots.layouts import check_default, chosen, networks_in, write_tensors
from sgtool.snapshots.lazy import complete

GENERATOR, DISCRIMINATOR = "synthesis.b4.const", "b4.conv.weight"  # a tensor by which each is known
ALIAS_FREE = "synthesis.input.freqs"  # a generator of StyleGAN3


def recognise(value):
    """Whether what a file holds is a state dict of a StyleGAN2 network (or StyleGAN3 generator) under NVIDIA's names.

    Args:
        value: what the file holds: {name: tensor}, or such dicts by network name, see `layouts.networks_in`.
    """
    return any(map(_kind, networks_in(value).values()))


def describe(value, format_name="state-dict"):
    """Return the `Contents` of a value that was recognised.

    Args:
        value: see `recognise`.
        format_name: of the file.
    Raises:
        Refused: a network is not complete.
    """
    contents = Contents(format_name, {})
    found = networks_in(value)
    for name in ("G_ema", "G", "", "D"):  # D comes last: it takes the picture's shape from a generator
        if name in found:
            _add(contents, name, dict(found[name]))
    if any(not packed.unsupported for packed in contents.networks.values()):
        contents.notes.append(ASSUMED)
    return contents


def write(snapshot, path, names=("G_ema", "G", "D")):
    """Write networks as bare tensors with NVIDIA's names.

    G_ema alone is {"mapping.fc0.weight": ...}; more than one network is {"G_ema": {...}, "D": {...}}.

    Args:
        snapshot: a `Snapshot`.
        path: the file; an older one stays as it is until the new one is complete.
        names: which networks to write, of those that are there.
    Returns:
        list of sentences on what the file does not keep.
    Raises:
        UserError: a network has something that shapes do not tell, such as another activation; or the disk is full.
    """
    networks = chosen(snapshot, names)
    notes = [note for name, network in networks.items() for note in check_default(path, name, network, "a bare state dict")]
    states = {name: network.state_dict() for name, network in networks.items()}
    write_tensors(states["G_ema"] if list(states) == ["G_ema"] else states, path)
    return notes


def _kind(state):
    """Return "G" or "D" for the state dict of a generator or discriminator, "" for others."""
    return "G" if GENERATOR in state or ALIAS_FREE in state else "D" if DISCRIMINATOR in state else ""


def _add(contents, name, state):
    """Add one network to the contents."""
    kind = _kind(state)
    name = name or {"G": "G_ema", "D": "D"}.get(kind, "")
    if kind != name[:1]:
        contents.notes.append(f"What the file has as {name} is no StyleGAN2 network of that kind, and is left out.")
    elif GENERATOR not in state and ALIAS_FREE in state:
        contents.networks[name] = Packed({}, state, "a StyleGAN3 (alias-free) generator")
    else:
        contents.networks[name] = packed(state, contents.networks, contents.notes)


def packed(state, others, notes):
    """Describe a network by its tensors.

    Args:
        state: {NVIDIA's name: tensor or Stored}; what a generator's lacks is added.
        others: {name: Packed} of the networks of the same file, of which a discriminator takes the picture's size.
        notes: list, to which is added what was made up.
    Returns:
        `Packed`.
    Raises:
        Refused: it is not complete.
    """
    try:
        if GENERATOR not in state:
            size = next((other.init.get("img_resolution") for other in others.values()), None)
            return Packed(discriminator_keywords(state, size), state)
        keywords = generator_keywords(state)
        found = []
        complete(state, keywords, found)
        notes.extend(note for note in found if note not in notes)
        return Packed(keywords, state)
    except Unlike as other:
        return Packed({}, state, str(other))
