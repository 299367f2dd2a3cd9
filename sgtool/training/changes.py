"""Numbers of a run that change while it goes on: each change is noted, kept in checkpoints, and holds after a resume."""

import dataclasses

from sgtool.training.schedules import lazy_adam


def change(state, field, value, why):
    """Change one number of a run's configuration, between two steps.

    Args:
        state: `TrainState`; its config, `changes` and what depends on the number are moved on in place.
        field: of `TrainConfig`.
        value: its new value.
        why: a word for the log: who asked for it.
    Returns:
        The note in `state.changes`: {"nimg", "field", "from", "to", "why"}; None if the value is the one that it has.
    """
    before = getattr(state.config, field)
    if value == before:
        return None
    note = {"nimg": state.nimg, "field": field, "from": before, "to": value, "why": why}
    state.changes.append(note)
    adopt(state, {field: value})
    return note


def adopt(state, values):
    """Give fields of the configuration new values, and hand them on: learning rates to the optimizers, the target to ADA."""
    state.config = config = dataclasses.replace(state.config, **values)
    for field, optimizer, interval in (
        ("glr", state.opt_G, config.g_reg_interval),
        ("dlr", state.opt_D, config.d_reg_interval),
    ):
        if field in values:
            rate, _ = lazy_adam(values[field], (0.0, 0.99), interval)
            for group in optimizer.param_groups:
                group["lr"] = rate
    if "target" in values and config.aug == "ada":
        state.ada.target = config.target


def newest_values(changes):
    """Return {field: its value after all changes}."""
    return {note["field"]: note["to"] for note in changes}


def with_options(changes, stored, config, fields, nimg):
    """Add what the command line of a resumed run changes.

    A value that differs from the one that the run was started with is a new wish, and goes before earlier changes. The same
    value again, as in the line that a scheduler repeats, is none: changes made since then hold.

    Args:
        changes: notes of the checkpoint.
        stored: `TrainConfig` that the run was started with, or last resumed with.
        config: `TrainConfig` of this command line.
        fields: which may change when a run goes on.
        nimg: where it goes on.
    Returns:
        A new list of notes.
    """
    changes, values = list(changes), newest_values(changes)
    for field in fields:
        value = getattr(config, field)
        if field in values and value not in (getattr(stored, field), values[field]):
            changes.append({"nimg": nimg, "field": field, "from": values[field], "to": value, "why": "an option of --resume"})
    return changes


def describe(note):
    """Write a note as a line: `gamma 0.5 -> 1 from kimg 12.3 on (control.json)`."""
    return f"{note['field']} {_short(note['from'])} -> {_short(note['to'])} from kimg {note['nimg'] / 1000:g} on ({note['why']})"


def _short(value):
    return f"{value:g}" if isinstance(value, float) else str(value)
