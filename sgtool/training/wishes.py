"""What control.json in a run folder asks for, checked."""

import json
import os
import stat
from difflib import get_close_matches

from sgtool.errors import UserError
from sgtool.training.resolve import Options, check_options

NAME = "control.json"
FIELDS = {"gamma": float, "glr": float, "dlr": float, "target": float, "kimg": int, "tick": float, "snap": int}
WISHES = ("stop", "snapshot-now")
LARGEST = 1 << 16  # bytes
HELP = [
    "Edit and save: the run reads this file between two steps, every few seconds. Each change is told in log.txt.",
    "gamma, glr, dlr, target, kimg, tick, snap: as the options of sgtool train.",
    "stop: true ends the run with a checkpoint; go on with sgtool train --resume.",
    "snapshot-now: true writes a snapshot, a sheet of pictures and a checkpoint, and becomes false again.",
]


def values_of(config):
    """What control.json says when nothing is asked for: plain values."""
    return {"_help": HELP} | {field: getattr(config, field) for field in FIELDS} | dict.fromkeys(WISHES, False)


def read_file(path):
    """Return the bytes of a control file.

    Raises:
        UserError: it is no file of a sensible size.
        OSError: it cannot be read, for instance because there is none.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise UserError(f"{NAME} is no plain file, and is not read.")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UserError(f"{NAME} is larger than {LARGEST // 1024} KB, and is not read.")
    return content


def parse(content):
    """Return the object in the bytes of a control file.

    Raises:
        UserError: it is not JSON, or no object.
    """
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise UserError(f"{NAME} is nested too deeply. Nothing is changed.") from None
    except ValueError as error:
        raise UserError(f"{NAME} is not valid JSON ({str(error)[:80]}). Nothing is changed; mend it and save it.") from error
    if not isinstance(values, dict):
        raise UserError(f'{NAME} must hold an object, such as {{"gamma": 1}}. Nothing is changed.')
    return values


def wishes_in(values, state):
    """Find out what a control file asks for.

    Args:
        values: from `parse`.
        state: `TrainState`.
    Returns:
        ({field: new value}, set of `WISHES` that are true, list of sentences on what is wrong).
    """
    changes, wishes, wrong = {}, set(), []
    for name, value in values.items():
        if name == "_help":
            continue
        try:
            if name in WISHES:
                wishes |= {name} if _is_true(name, value) else set()
            elif name not in FIELDS:
                raise UserError(f'"{name[:40]}" cannot be changed in a run.{_nearest(name)}')
            elif (number := check(state, name, value)) != getattr(state.config, name):
                changes[name] = number
        except UserError as error:
            wrong.append(f"{NAME}: {error.message} This entry is ignored.")
    return changes, wishes, wrong


def _is_true(name, value):
    if not isinstance(value, bool):
        raise UserError(f'"{name}" must be true or false.')
    return value


def _nearest(name):
    near = get_close_matches(name, [*FIELDS, *WISHES], n=1)
    return f' Is "{near[0]}" meant?' if near else ""


def check(state, field, value):
    """Return a wished value in the type of the configuration, checked as the option of that name is.

    Raises:
        UserError: it is out of range, or not used in this run.
    """
    kind = FIELDS[field]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15  # so no NaN
    if not is_number or (kind is int and value != int(value)):
        raise UserError(f'"{field}" must be a {"whole " if kind is int else ""}number, not {json.dumps(value)[:40]}.')
    value = kind(value)
    if value == getattr(state.config, field):
        return value
    check_options(Options(**{field: value}))
    if field == "target" and state.config.aug != "ada":
        raise UserError(f"target {value:g} is not used with --aug {state.config.aug}.")
    if field == "kimg" and value * 1000 <= state.nimg:
        raise UserError(f'kimg {value} has passed, the run is at {state.nimg / 1000:g}; to end it, set "stop" to true.')
    return value
