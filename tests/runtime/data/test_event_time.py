"""Times of events: of which columns, in which units."""

from datetime import date, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from tzx.runtime.data.event_time import EventTime
from tzx.runtime.errors import DataError
from tzx.runtime.protos.data_pb2 import DataConfig

NOON = datetime(2024, 5, 17, 12, tzinfo=timezone.utc)
SECONDS = 1_715_947_200  # date -u -d 2024-05-17T12:00 +%s
EAST = timezone(timedelta(hours=8))


def latest(column: pa.Array, ticks: int = 1) -> int:
    event_time = EventTime("t", ticks)
    batch = pa.record_batch({"t": column})
    event_time.check_type(batch.schema)
    return event_time.latest(batch)


@pytest.mark.parametrize(
    ("column", "ticks"),
    [
        (pa.array([SECONDS - 5, None, SECONDS, 0]), 1),
        (pa.array([SECONDS], pa.int32()), 1),
        (pa.array([SECONDS + 0.75, float("nan"), SECONDS - 9.0]), 1),
        (pa.array([SECONDS * 1000 + 999]), 1000),
        (pa.array([SECONDS * 1_000_000], pa.uint64()), 1_000_000),
        (
            pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")),
            1000,
        ),  # a type has its own unit; no zone is UTC
        (pa.array([NOON, None, NOON - timedelta(days=1)], pa.timestamp("ms", "UTC")), 1),
        (pa.array([NOON.astimezone(EAST)], pa.timestamp("us", "Asia/Shanghai")), 1),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_the_latest_time_in_whole_seconds(column, ticks):
    assert latest(column, ticks) == SECONDS


def test_a_date_is_its_midnight():
    assert latest(pa.array([date(2024, 5, 17), date(2024, 5, 16)])) == SECONDS - 12 * 3600


@pytest.mark.parametrize("column", [pa.nulls(2, pa.int64()), pa.array([float("nan")]), pa.array([-5])])
def test_rows_without_a_time_have_none(column):
    assert latest(column) == 0


@pytest.mark.parametrize("column", [pa.array(["2024-05-17"]), pa.array([[1]]), pa.array([True])])
def test_other_columns_are_refused(column):
    with pytest.raises(DataError, match=r"event_time_field 't' has type .*; an event time is a number"):
        latest(column)


def test_milliseconds_taken_for_seconds_are_noticed():
    with pytest.raises(DataError, match=r"set data_config\.event_time_ticks_per_second: 1000"):
        latest(pa.array([SECONDS * 1000]))


def test_without_a_field_there_are_no_event_times():
    assert EventTime.from_config(DataConfig()) is None
