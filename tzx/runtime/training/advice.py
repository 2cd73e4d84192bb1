"""A word to the user whose training waits for data."""

import logging

from tzx.runtime.config import effective_fg_mode
from tzx.runtime.data.workers import useful_workers
from tzx.runtime.protos import data_pb2

logger = logging.getLogger("tzx")

_TOO_MUCH = 0.10  # of the time between two log lines
_IN_A_ROW = 2  # one line may be an accident: a checkpoint, a cold disk
_FEW_CORES = 2  # with more, processes do better than threads, which share an interpreter


class WaitingAdvice:
    """Warns once when training keeps waiting for data, and says what to change.

    Args:
        config: how data is read.
        cores: of this machine, for this process.
        feeds_gpu: whether batches go to a GPU.
    """

    def __init__(self, config: data_pb2.DataConfig, cores: int, feeds_gpu: bool = False) -> None:
        self._config, self._cores, self._feeds_gpu = config, cores, feeds_gpu
        self._seen = -1  # the first line covers the start

    def consider(self, waited: float, is_tuned: bool = True) -> None:
        """Take in the share of the time since the last log line that was spent waiting.

        As long as the loader still has to try what helps (not `is_tuned`), it is too early to ask the user.
        """
        if self._seen >= _IN_A_ROW or not is_tuned:
            return
        self._seen = self._seen + 1 if waited > _TOO_MUCH or self._seen < 0 else 0
        if self._seen == _IN_A_ROW:
            logger.warning(
                "training waits for data %.0f%% of the time: %s", 100 * waited, "; or ".join(self._remedies())
            )

    def _remedies(self) -> list[str]:
        config, remedies = self._config, []
        ready_made = effective_fg_mode(config) == data_pb2.FG_NONE
        # As many as the loader would try if it were allowed any number.
        most, _ = useful_workers(self._cores, self._cores, ready_made, self._feeds_gpu)
        if config.num_workers < most:
            remedies.append(f"raise data_config.num_workers, now {config.num_workers}, up to {most}")
        if not ready_made and config.fg_threads < self._cores <= _FEW_CORES:
            remedies.append(f"raise data_config.fg_threads, now {config.fg_threads}, up to {self._cores}")
        if not config.tune_loader and not ready_made:
            remedies.append("leave out data_config.tune_loader, so that the loader tries what helps")
        if not ready_made:
            remedies.append("make features once, ahead of training, with tzx.apps.generate_features")
        return remedies or ["the data is read as fast as this machine can; store it nearer, or as Parquet"]
