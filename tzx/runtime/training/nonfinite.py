"""Losses that are no numbers: stop before they reach the parameters or leave the batch out, and say where from.

Legend: B rows, N ids, M sequence elements.
"""

import logging
from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.errors import DataError
from tzx.runtime.protos import train_pb2
from tzx.runtime.training.session import Session

logger = logging.getLogger("tzx")

_NAMED = 3  # features, rows and parameters in a message
_WARNINGS = 20


class LossGuard:
    """Applies `train_config.nan_loss_policy`.

    On a CPU, and wherever batches are to be left out, each loss is looked at before its backward pass. On a GPU that
    would make each step wait; there losses are counted, and looked at when a line is logged and before a save.
    """

    def __init__(self, session: Session, loader: DataLoader) -> None:
        self._session, self._loader = session, loader
        self._policy = session.config.train_config.nan_loss_policy
        self._at_once = session.process.device.type == "cpu" or self._policy == train_pb2.NAN_LOSS_SKIP
        self._uncounted = torch.zeros((), dtype=torch.int64, device=session.process.device)
        self.skipped = 0

    def accepts(self, batch: Batch, losses: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> bool:
        """Whether to go on with a batch; the same on all ranks.

        Raises:
            DataError: a loss is not finite, and such a batch is to stop the training.
        """
        if self._policy == train_pb2.NAN_LOSS_IGNORE:
            return True
        finite = torch.stack([loss.detach() for loss in losses.values()]).isfinite().all()
        if not self._at_once:
            self._uncounted += ~finite
            return True
        here = not bool(finite)
        if self._policy == train_pb2.NAN_LOSS_STOP:
            if here:
                advice = "nan_loss_policy: NAN_LOSS_SKIP in train_config leaves such batches out"
                raise DataError(f"{self._describe(batch, losses, predictions)}; {advice}")
            return True
        return not self._skip(here, batch, losses, predictions)

    def check(self) -> None:
        """Raise DataError if a loss counted since the last check was not finite."""
        if not self._at_once and int(self._uncounted):
            raise DataError(
                f"a loss was not finite in a step up to step {self._session.step}; to see which and why, set "
                "log_step_count_steps: 1, or nan_loss_policy: NAN_LOSS_SKIP in train_config, which looks at each step"
            )

    def _skip(self, here: bool, batch: Batch, losses: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> bool:
        anywhere = here
        if self._session.process.world_size > 1:
            flag = torch.tensor([here], dtype=torch.int32)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            anywhere = bool(flag[0])
        self.skipped += anywhere
        if here and self.skipped <= _WARNINGS:
            last = "; further ones are only counted" if self.skipped == _WARNINGS else ""
            logger.warning("%s; the batch is left out%s", self._describe(batch, losses, predictions), last)
        return anywhere

    def _describe(self, batch: Batch, losses: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> str:
        bad = ", ".join(f"{name} is {float(loss)}" for name, loss in losses.items() if not bool(loss.isfinite()))
        found = f"step {self._session.step + 1}: {bad}"
        if inputs := dict(nonfinite_inputs(batch)):
            shown = [f"{name} in {self._place(batch, row)}" for name, row in list(inputs.items())[:_NAMED]]
            return f"{found}, because of {'; '.join(shown)}"
        rows = [row for p in predictions.values() for row in _rows_with(p.isfinite())]
        places = "".join(f"; prediction not finite for {self._place(batch, row)}" for row in rows[:_NAMED])
        named = self._session.sharded.named_parameters()
        broken = [name.removeprefix("model.") for name, p in named if not bool(p.detach().isfinite().all())][:_NAMED]
        parameters = f"; not finite: parameter {', '.join(broken)}" if broken else ""
        return f"{found}{places}, though all features and labels are finite; is a learning rate too high?{parameters}"

    def _place(self, batch: Batch, row: int) -> str:
        return self._loader.place(int(batch.rows[row])) if batch.rows is not None else f"row {row} of the batch"


def nonfinite_inputs(batch: Batch) -> Iterator[tuple[str, int]]:
    """Features, labels and weights that are not finite, each with the first row (of the batch) where it is not."""
    for name in batch.layout.dense:
        yield from _first(f"feature {name}", batch.dense_of(name))
    weights, lengths = batch.weighted_ids.weights, batch.weighted_ids.lengths
    if weights is not None:
        for entry in _rows_with(weights.isfinite()):
            key = int(torch.searchsorted(lengths.cumsum(0), entry, right=True))
            yield f"weights of feature {batch.layout.weighted_ids[key // batch.size]}", key % batch.size
    for name, elements in batch.sequences.items():
        if elements.values.is_floating_point():
            for entry in _rows_with(elements.values.isfinite())[:1]:
                yield f"feature {name}", int(torch.searchsorted(elements.seq_lengths.cumsum(0), entry, right=True))
    for kind, tensors in (("label", batch.labels), ("sample weight", batch.sample_weights)):
        for name, tensor in tensors.items():
            yield from _first(f"{kind} {name}", tensor)


def _first(name: str, values: Tensor) -> Iterator[tuple[str, int]]:
    yield from ((name, row) for row in _rows_with(values.isfinite())[:1])


def _rows_with(finite: Tensor) -> list[int]:
    """Rows that are not finite throughout."""
    per_row = finite.flatten(1).all(dim=1) if finite.dim() > 1 else finite.reshape(-1)
    return [int(row) for row in (~per_row).nonzero().flatten()]
