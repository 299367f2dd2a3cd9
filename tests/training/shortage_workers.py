"""What the processes of `test_shortage` run: training in which memory runs short on one of them."""

import os

from sgtool.training import step
from sgtool.training.run import train_in_process


def train_short_of_memory(options, rank, number):
    """Train; process `rank` has no memory for `number` pictures at a time in the phase Greg, nor in Dmain for half as many."""
    backward = step.backward

    def limited(phase, state, config, *rest):
        most = {"Greg": number // 2, "Dmain": number // 4}.get(phase.name, number)
        if int(os.environ["RANK"]) == rank and config.batch_gpu > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1000 bytes.")
        return backward(phase, state, config, *rest)

    step.backward = limited
    return train_in_process(options)
