"""How many threads a training step uses on a CPU.

A matrix product is worth splitting over cores only if it is long beside the cost of waking and joining threads. The
choice follows from the model and the batch size alone, never from a measurement, so that a resumed run computes in
the same order, and with it the same bits.
"""

import logging
import os
from collections.abc import Mapping

import torch

from tzx.runtime.data.cores import cores_for_me
from tzx.runtime.training.process import Process

logger = logging.getLogger("tzx")

# Below this a step of forward and backward passes takes some 10 ms on one core: DeepFM on MovieLens (0.4 GFLOP) runs
# 1.4 times as fast on one thread as on two that yield when idle, on Criteo (3.5 GFLOP) two are the faster.
_WORTH_SPLITTING = 1e9


def set_threads(dense_parameters: int, batch_size: int, process: Process, env: Mapping[str, str] = os.environ) -> None:
    """Choose the number of threads of this process, unless OMP_NUM_THREADS says it or a GPU does the work.

    Args:
        dense_parameters: parameters outside tables; each costs 6 floating-point operations per row.
        batch_size: rows per step.
        process: tells how many processes share this machine's cores.
        env: the environment.
    """
    if env.get("OMP_NUM_THREADS") or process.device.type != "cpu":
        return
    operations = 6.0 * dense_parameters * batch_size
    cores = cores_for_me(process.local_world_size)
    threads = 1 if operations < _WORTH_SPLITTING else cores
    torch.set_num_threads(threads)
    logger.info("%d thread(s) for steps of %.1f GFLOP; OMP_NUM_THREADS sets another number", threads, operations / 1e9)
