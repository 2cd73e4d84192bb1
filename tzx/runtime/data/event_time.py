"""When the events of a batch happened: the latest time in a column, in Unix seconds."""

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tzx.runtime.errors import DataError
from tzx.runtime.protos import data_pb2

_FAR = 10**11  # seconds: the year 5138


@dataclass(frozen=True)
class EventTime:
    """Reads event times from the column `name`; numbers in it count `ticks` to the second."""

    name: str
    ticks: int

    @staticmethod
    def from_config(config: data_pb2.DataConfig) -> "EventTime | None":
        """What `data_config.event_time_field` says, or None where it names no column."""
        name = config.event_time_field
        return EventTime(name, config.event_time_ticks_per_second) if name else None

    def check_type(self, schema: pa.Schema) -> None:
        """Refuse a column that holds no times."""
        kind = schema.field(self.name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_instant(kind)):
            raise DataError(
                f"event_time_field {self.name!r} has type {kind}; an event time is a number (Unix time, with "
                "data_config.event_time_ticks_per_second of it to the second), a timestamp or a date"
            )

    def latest(self, batch: pa.RecordBatch) -> int:
        """The latest time of the batch's rows in whole seconds; 0 where no row has one.

        Raises:
            DataError: it lies so far ahead that the column must count something finer than it is said to.
        """
        column, ticks = batch.column(self.name), self.ticks
        if _is_instant(column.type):
            column, ticks = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64()), 1
        latest = pc.max(column).as_py()
        if latest is None or math.isnan(latest):
            return 0
        if latest / ticks > _FAR:
            raise DataError(
                f"event_time_field {self.name!r} holds {latest}, which is {latest / ticks:.0f} seconds since 1970; "
                "if it counts milliseconds, set data_config.event_time_ticks_per_second: 1000"
            )
        return max(int(latest // ticks), 0)


def _is_instant(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)
