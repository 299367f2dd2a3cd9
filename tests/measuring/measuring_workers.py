"""What the processes of the tests measure. A module of its own, which they import by its name."""

import time

from sgtool.distributed import joined
from sgtool.errors import UserError
from sgtool.measuring import Request, measure
from sgtool.measuring.rounds import Interrupted, by_the_first, in_rounds


def measured(values):
    """The numbers of a request in each process, and how the processes end together what one of them cannot go on with."""
    with joined("cpu", timeout=60) as world:
        found, paths = measure(Request(**values), world=world)
        numbers = [(result.protocol.name, result.measured.values, result.measured.intervals) for result in found]
        return world.gather((numbers, [path.name for path in paths])), endings(world)


def endings(world):
    def fail(task):
        if task == 4:
            raise UserError("task 4 cannot be done.")
        return task * task

    def refuse(task, result):
        raise UserError("the first process has no room.")

    took = []
    in_rounds(range(7), lambda task: (task, world.rank), lambda task, result: took.append(result), world=world)
    ends = [
        ended(lambda: in_rounds(range(9), fail, lambda task, result: None, world=world)),
        ended(lambda: in_rounds(range(9), int, refuse, world=world)),
        ended(lambda: in_rounds(range(9), int, lambda task, result: None, world=world, stop=lambda: world.rank == 1)),
        ended(lambda: by_the_first(lambda: fail(4), world=world)),
        by_the_first(lambda: time.sleep(1.5) or "done", world=world),
    ]
    return took, world.gather(ends)


def ended(function):
    try:
        function()
    except (UserError, Interrupted) as error:
        return str(error) or type(error).__name__
    return "not at all"
