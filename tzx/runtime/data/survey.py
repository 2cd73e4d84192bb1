"""One pass over a data set to count what its features hold."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tzx.runtime.data.cores import cores_for_me
from tzx.runtime.data.plan import split
from tzx.runtime.data.readers import open_reader
from tzx.runtime.features.statistics import DataStatistics
from tzx.runtime.protos import data_pb2

if TYPE_CHECKING:
    from tzx.runtime.features import FeatureSet

logger = logging.getLogger("tzx")
LOG_SECONDS = 10.0


@dataclass(frozen=True)
class SurveyOptions:
    """Which part of the rows this process counts.

    Args:
        max_rows: stop after so many rows of the data set; 0 is all.
        batch_rows: rows counted at a time.
        local_world_size: processes on this machine, which share its cores.
    """

    rank: int = 0
    world_size: int = 1
    max_rows: int = 0
    batch_rows: int = 16384
    local_world_size: int = 1


def survey(
    data_config: data_pb2.DataConfig, features: "FeatureSet", paths: str, options: SurveyOptions
) -> DataStatistics:
    """Statistics of this process's share of the rows.

    Raises:
        UserError: nothing is found under a path.
        DataError: a file is damaged or lacks a column, or a value cannot be used.
    """
    reader = open_reader(data_config, paths, features.input_columns)
    rows = min(options.max_rows or reader.num_rows, reader.num_rows)
    share = split(np.array([[0, rows]], np.int64), options.world_size, options.rank)
    mine = int((share[:, 1] - share[:, 0]).sum())
    statistics = DataStatistics.of(features, paths)
    tolerant = data_config.bad_value_policy == data_pb2.BAD_VALUE_DEFAULT
    told = time.monotonic()
    with ThreadPoolExecutor(cores_for_me(options.local_world_size)) as pool:
        for batch in reader.read(share, options.batch_rows):
            pairs = statistics.wanted(features.trace(batch, tolerant))
            # Counting runs in Arrow, NumPy and compiled loops, which leave the GIL to each other.
            for _ in pool.map(lambda pair: pair[0].add(pair[1]), pairs):
                pass
            statistics.rows += batch.num_rows
            if time.monotonic() - told > LOG_SECONDS:
                told = time.monotonic()
                logger.info("%s of %s rows counted", f"{statistics.rows:,}", f"{mine:,}")
    return statistics
