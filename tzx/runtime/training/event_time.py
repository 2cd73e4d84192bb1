"""Checkpoints by the time of events: which time a step has, and whether a save is due after it.

A step has one time, the same on all ranks, so that they save together; it is all that a resumed run needs to know.
"""

import math
from collections.abc import Sequence

from tzx.runtime.protos.train_pb2 import TrainConfig


def time_of_step(times: Sequence[int], quorum: float) -> int:
    """The time that a share of the ranks have reached.

    Args:
        times: of each rank's batch, in Unix seconds; 0 from a rank that has none, which does not count.
        quorum: the share, in (0,1].
    """
    known = sorted((time for time in times if time), reverse=True)
    needed = math.ceil(round(quorum * len(known), 6))
    return known[max(needed, 1) - 1] if known else 0


def is_save_due(config: TrainConfig, before: int, now: int) -> bool:
    """Whether the time has passed a multiple of the interval, or one of the given times.

    Args:
        config: says interval and times.
        before: the latest time so far, 0 before the first, which nothing is compared with.
        now: that after the step.
    """
    if not before:
        return False
    interval = config.save_checkpoints_timestamp_interval
    aligned = bool(interval) and now // interval > before // interval
    return aligned or any(before < time <= now for time in config.save_checkpoints_timestamps)
