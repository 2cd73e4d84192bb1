"""Lookups and updates of float32 tables in the CPU's memory: compiled loops on as many threads as torch uses."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tzx.runtime.embedding import row_kernels as kernels
from tzx.runtime.embedding.row_kernels import UPDATES, Bags
from tzx.runtime.embedding.row_runs import Ids, Run
from tzx.runtime.embedding.row_updates import Hyper
from tzx.runtime.embedding.threads import even_bounds, on_threads

FINE = kernels.FINE
OPTIMIZERS = frozenset(UPDATES)

_WORTH_A_THREAD = 1 << 15  # floats of rows; waking a thread takes as long as some thousand rows


def make_bags(run: Run, ids: Ids, width: int = 0, column: int = 0) -> Bags | None:
    """What the kernels read of a batch, without copies; None if it has nothing for the run.

    Args:
        run: the tables.
        ids: of all features.
        width: of the rows of all features, side by side; 0 where bags are not pooled.
        column: where in these the rows of the run begin.
    """
    if not ids.batch or not run.first_rows.numel():
        return None
    return Bags(
        ids=_numbers(ids.values),
        offsets=_numbers(ids.bounds(run)),
        scale=_floats(ids.weights) if ids.weights is not None else np.empty(0, np.float32),
        first_rows=_numbers(run.first_rows),
        last_ids=_numbers(run.last_ids),
        dim=run.dim,
        batch=ids.batch,
        width=width,
        column=column,
    )


def look_up(run: Run, bags: Bags, output: Tensor) -> int:
    """Rows of ids into `output` [N, D], or sums of bags into their columns of `output` [B, width].

    Returns:
        The place of an id that its table has not, or FINE.
    """
    kernel = kernels.pool if bags.width else kernels.gather
    table, flat, parts = _floats(run.weight), output.view(-1).numpy(), _parts(bags)
    bounds = even_bounds(bags.batch, parts)
    return max(on_threads(lambda first, stop: int(kernel(table, bags, first, stop, flat)), bounds))


def update(optimizer: str, run: Run, bags: Bags, gradient: Tensor, settings: tuple[float, int, Hyper]) -> None:
    """Update the rows that the ids touch; every id has a row.

    Args:
        optimizer: one of OPTIMIZERS.
        run: the tables, changed in place.
        bags: the ids.
        gradient: of what `look_up` gave.
        settings: learning rate, number of this step, and the others.
    """
    table, flat, hyper = _floats(run.weight), _floats(gradient), _hyper(*settings)
    states = tuple(_floats(state) for state in run.states)
    rows, parts = run.weight.shape[0], _parts(bags)

    def work(low: int, high: int) -> None:
        UPDATES[optimizer](table, states, kernels.touched(bags, flat, low, high), hyper)

    on_threads(work, kernels.cuts(bags, rows, parts).tolist() if parts > 1 else [0, rows])


def _parts(bags: Bags) -> int:
    floats = int(bags.offsets[-1] - bags.offsets[0]) * bags.dim
    return min(torch.get_num_threads(), max(1, floats // _WORTH_A_THREAD), max(1, bags.batch))


def _hyper(lr: float, step: int, given: Hyper) -> kernels.Hyper:
    corrections = (1 - given.beta1**step, 1 - given.beta2**step)
    numbers = (lr, given.eps, given.beta1, given.beta2, *corrections, given.weight_decay)
    return kernels.Hyper._make((*map(np.float32, numbers), given.weight_decay_mode == "l2"))


def _numbers(tensor: Tensor) -> npt.NDArray[np.uint64]:
    """Unsigned, so that what is negative is too large."""
    return tensor.long().contiguous().numpy().view(np.uint64)


def _floats(tensor: Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().float().contiguous().view(-1).numpy()
