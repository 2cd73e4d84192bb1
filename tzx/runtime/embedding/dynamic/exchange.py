"""Ids travel to the process that holds their part of the map, and rows travel back.

Three exchanges per batch whatever the number of maps: how much comes, the ids, the rows. They go through the CPU's
process group, as the maps live in host memory.

Legend: W processes, M maps, N different ids of this process, R ids received.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from tzx.runtime.embedding.dynamic.id_map import Part
from tzx.runtime.embedding.dynamic.kernels import Int64


@dataclass(frozen=True)
class Question:
    """Different ids for one map, how often each occurs, and the rank that can answer for it."""

    ids: Int64
    counts: Int64
    owners: Int64


Answer = Callable[[int, Int64, Int64], Int64]  # number of the map, ids, counts -> rows


def ask_owners(questions: Sequence[Question], answer: Answer, part: Part) -> list[Int64]:
    """Have each id answered by the rank that owns it; all ranks call this together.

    Args:
        questions: one per map.
        answer: called once per map on what all ranks ask, in the order of ranks; an id of several ranks comes again.
        part: this process.

    Returns:
        The rows of each map's ids.
    """
    orders = [np.argsort(q.owners, kind="stable") for q in questions]
    sent_WM = np.stack([np.bincount(q.owners, minlength=part.world_size) for q in questions], axis=1)
    received_WM = _exchange(sent_WM.astype(np.int64), np.ones(part.world_size), np.ones(part.world_size))
    pairs = [np.stack([q.ids, q.counts], axis=1)[order] for q, order in zip(questions, orders, strict=True)]
    pairs_R2 = _exchange(_by_rank(pairs, sent_WM), sent_WM.sum(1), received_WM.sum(1))
    rows = []
    for number, of_map in enumerate(_by_map(pairs_R2, received_WM)):
        rows.append(answer(number, of_map[:, 0].copy(), of_map[:, 1].copy()))
    rows_N = _exchange(_by_rank(rows, received_WM), received_WM.sum(1), sent_WM.sum(1))
    answers = []
    for order, of_map in zip(orders, _by_map(rows_N, sent_WM), strict=True):
        unsorted = np.empty_like(of_map)
        unsorted[order] = of_map
        answers.append(unsorted)
    return answers


def share_with_all(arrays: Sequence[Int64], part: Part) -> list[Int64]:
    """Every rank's arrays [n, 2] one after another, for each place in `arrays`; all ranks call this together."""
    sizes_M = torch.tensor([len(a) for a in arrays])
    sizes_WM = [torch.empty_like(sizes_M) for _ in range(part.world_size)]
    dist.all_gather(sizes_WM, sizes_M)
    most = max(int(sizes.sum()) for sizes in sizes_WM)
    if most == 0:
        return list(arrays)
    padded = torch.zeros(most, 2, dtype=torch.int64)
    padded[: int(sizes_M.sum())] = torch.from_numpy(np.concatenate(arrays))
    gathered: list[Tensor] = [torch.empty_like(padded) for _ in range(part.world_size)]
    dist.all_gather(gathered, padded)
    pieces = [
        np.split(whole.numpy()[: int(sizes.sum())], np.cumsum(sizes.numpy())[:-1])
        for whole, sizes in zip(gathered, sizes_WM, strict=True)
    ]
    return [np.concatenate(of_place) for of_place in zip(*pieces, strict=True)]


def _exchange(values: np.ndarray, sent: np.ndarray, received: np.ndarray) -> np.ndarray:
    incoming = torch.empty((int(received.sum()), *values.shape[1:]), dtype=torch.int64)
    outgoing = torch.from_numpy(np.ascontiguousarray(values))
    dist.all_to_all_single(incoming, outgoing, [int(n) for n in received], [int(n) for n in sent])
    return incoming.numpy()


def _by_rank(of_maps: Sequence[np.ndarray], sizes_WM: np.ndarray) -> np.ndarray:
    """From arrays of maps, each in the order of ranks, to one in the order of ranks, in it of maps."""
    starts_WM = np.cumsum(sizes_WM, axis=0) - sizes_WM
    W, M = sizes_WM.shape
    return np.concatenate(
        [of_maps[m][starts_WM[w, m] : starts_WM[w, m] + sizes_WM[w, m]] for w in range(W) for m in range(M)]
    )


def _by_map(values: np.ndarray, sizes_WM: np.ndarray) -> list[np.ndarray]:
    """The way back from `_by_rank`."""
    W, M = sizes_WM.shape
    pieces = np.split(values, np.cumsum(sizes_WM.ravel())[:-1])
    return [np.concatenate([pieces[w * M + m] for w in range(W)]) for m in range(M)]
