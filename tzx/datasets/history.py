"""What a user had done before each event.

Only events of an earlier instant count: a page of ratings saved in one second is one instant, so none of them sees
another. The newest event comes first, because a sequence feature keeps the first `sequence_length` elements.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Histories:
    """`rows` [M] row numbers of past events, newest first, of all B events; `offsets` int32 [B + 1] into them."""

    rows: Rows
    offsets: npt.NDArray[np.int32]

    def column(self, values: pa.ChunkedArray) -> pa.ListArray:
        """The past values of a column as one list per event."""
        return pa.ListArray.from_arrays(pa.array(self.offsets), values.take(pa.array(self.rows)).combine_chunks())


def past_events(users: Rows, timestamps: Rows, length: int) -> Histories:
    """For every event the rows of the same user's earlier events, at most `length`.

    Args:
        users: int64 [B] user of each event.
        timestamps: int64 [B] instant of each event.
        length: most events kept.
    """
    order = np.lexsort((timestamps, users))
    user, time = users[order], timestamps[order]
    new_user = np.r_[True, user[1:] != user[:-1]] if len(order) else np.zeros(0, bool)
    new_instant = new_user | np.r_[True, time[1:] != time[:-1]] if len(order) else new_user
    position = np.arange(len(order))
    start_of_user = np.maximum.accumulate(np.where(new_user, position, 0))
    start_of_instant = np.maximum.accumulate(np.where(new_instant, position, 0))

    # Back to the order of the events; the past of an event is sorted positions [start_of_user, start_of_instant).
    ends, counts = np.empty_like(position), np.empty_like(position)
    ends[order] = start_of_instant
    counts[order] = np.minimum(start_of_instant - start_of_user, length)
    offsets = np.r_[0, np.cumsum(counts)]
    steps_back = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    rows = order[np.repeat(ends, counts) - 1 - steps_back]
    return Histories(rows, offsets.astype(np.int32))
