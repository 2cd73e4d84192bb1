"""Tables whose rows are looked up and updated here: what TorchRec builds on CPU in place of FBGEMM's kernel.

FBGEMM fuses three optimizers on CPU, for rows of a multiple of 4 floats, and takes two to three times as long; here
every optimizer and every width works. Neighbouring tables of one width lie in one tensor, so a batch costs one lookup,
one sort of its ids and one update, however many tables there are. The backward pass sums the gradients of equal ids,
then updates the touched rows: in compiled loops where `host_rows` has them, else by plain tensor operations.

Legend: N ids, U touched rows, F features, B rows of the batch, D width of a run of tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

import torch
import torch.nn.functional as F
from fbgemm_gpu.split_embedding_configs import EmbOptimType, SparseType
from fbgemm_gpu.split_table_batched_embeddings_ops_training import PoolingMode
from torch import Tensor, nn

from tzx.runtime.embedding import host_rows
from tzx.runtime.embedding.row_runs import Ids, Run
from tzx.runtime.embedding.row_updates import RULES, Hyper, Rule, TouchedRows, WeightDecay
from tzx.runtime.embedding.table_memory import zeros
from tzx.runtime.errors import DataError

_DECAY_MODES: dict[str, WeightDecay] = {"L2": "l2", "DECOUPLE": "decouple"}

# Touched rows, rising, their gradients and the number of all rows, to those that any rank touched.
Exchange = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


class RowTables(nn.Module):
    """Stands in for FBGEMM's SplitTableBatchedEmbeddingBagsCodegen, as far as TorchRec uses it.

    Args:
        embedding_specs: rows, width, location and device of each table.
        feature_table_map: the table of each feature, rising.
        pooling_mode: SUM gives [B, sum of widths], NONE one row per id.
        weights_precision: FP32 or FP16.
        device: where the tables live.
        table_names: for messages.
        **options: the optimizer and its hyperparameters, as TorchRec passes them; others are of no use here.
    """

    def __init__(
        self,
        embedding_specs: Sequence[tuple[int, int, Any, Any]],
        feature_table_map: Sequence[int],
        pooling_mode: PoolingMode,
        weights_precision: SparseType = SparseType.FP32,
        device: torch.device | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.embedding_specs = list(embedding_specs)
        self.weights_precision = weights_precision
        self.pooled = pooling_mode != PoolingMode.NONE
        self.exchange: Exchange | None = None
        self.step = 0
        self._names = list(options.get("table_names") or map(str, range(len(self.embedding_specs))))
        self._features = list(feature_table_map)
        optimizer = options.get("optimizer", EmbOptimType.EXACT_SGD)
        self._optimizer = optimizer.value
        self._rule: Rule = RULES[optimizer.value]
        self._hyper = _hyper(options)
        self._lr = float(options.get("learning_rate", 0.01))
        self._max_gradient = options.get("max_gradient", 1.0) if options.get("gradient_clipping") else None
        sizes = [rows * dim for rows, dim, *_ in self.embedding_specs]
        self.weights_physical_offsets = [0, *torch.tensor(sizes).cumsum(0).tolist()][:-1]
        dtype = weights_precision.as_dtype()
        self.weights_host = nn.Parameter(zeros(sum(sizes), dtype, device), requires_grad=False)
        heights = [rows for rows, *_ in self.embedding_specs]
        self._states = [
            zeros(sum(heights if rowwise else sizes), torch.float32, device) for _, rowwise in self._rule.states
        ]
        self._runs = self._make_runs()
        self._trigger = torch.zeros(0, requires_grad=True)  # makes autograd call the backward pass

    def forward(self, indices: Tensor, offsets: Tensor, per_sample_weights: Tensor | None = None) -> Tensor:
        """Look up ids [N] of bags delimited by offsets [F * B + 1], feature by feature."""
        batch = (offsets.numel() - 1) // max(len(self._features), 1)
        return cast(Tensor, _Lookup.apply(self._trigger, self, Ids(indices, offsets, per_sample_weights, batch)))

    def split_embedding_weights(self) -> list[Tensor]:
        """The weight of each table, as a view [rows, width]."""
        return self._split(self.weights_host.detach(), rowwise=False)

    def get_optimizer_state(self) -> list[dict[str, Tensor]]:
        """The states of each table by name, as views."""
        found: list[dict[str, Tensor]] = [{} for _ in self.embedding_specs]
        for (name, rowwise), state in zip(self._rule.states, self._states, strict=True):
            for of_table, view in zip(found, self._split(state, rowwise), strict=True):
                of_table[name] = view
        return found if self._rule.states else []

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate of the coming steps."""
        self._lr = lr

    def get_learning_rate(self) -> float:
        """The learning rate in force."""
        return self._lr

    def set_optimizer_step(self, step: int) -> None:
        """Say how many updates the tables have had; optimizers that correct for having started at 0 need it."""
        self.step = step

    def flush(self) -> None:
        """There is no cache to flush."""

    def reset_cache_states(self) -> None:
        """There is no cache to reset."""

    def lookup(self, ids: Ids) -> Tensor:
        """Rows or sums of rows."""
        if self._is_host:
            return self._compiled_lookup(ids)
        outputs = []
        for run in self._runs:
            bounds = ids.bounds(run)
            first, last = int(bounds[0]), int(bounds[-1])
            rows_N = self._rows(run, ids.values[first:last], bounds)
            scale = None if ids.weights is None else ids.weights[first:last]
            outputs.append(
                _sums(run, rows_N, bounds - first, scale, ids.batch)
                if self.pooled
                else run.weight.index_select(0, rows_N)
            )
        joined = torch.cat(outputs, dim=1 if self.pooled else 0) if len(outputs) != 1 else outputs[0]
        return joined.float()

    def update(self, gradient: Tensor, ids: Ids) -> None:
        """Update the rows that the ids touched, from the gradient of what `lookup` gave."""
        self.step += 1
        if self._max_gradient is not None:
            gradient = gradient.clamp(-self._max_gradient, self._max_gradient)
        compiled = self._is_host and self.exchange is None and self._optimizer in host_rows.OPTIMIZERS
        column = 0
        for run in self._runs:
            bags = self._bags(run, ids, column) if compiled else None
            if bags is not None:
                host_rows.update(self._optimizer, run, bags, gradient, (self._lr, self.step, self._hyper))
            elif not compiled:
                self._update_rows(run, *self._summed(run, gradient, ids, column))
            column += run.width

    @property
    def _is_host(self) -> bool:
        return self.weights_host.device.type == "cpu" and self.weights_host.dtype == torch.float32

    @property
    def _width(self) -> int:
        return sum(run.width for run in self._runs)

    def _compiled_lookup(self, ids: Ids) -> Tensor:
        output = torch.empty((ids.batch, self._width) if self.pooled else (ids.values.numel(), self._runs[0].dim))
        column = 0
        for run in self._runs:
            bags = self._bags(run, ids, column)
            if bags is not None and host_rows.look_up(run, bags, output) != host_rows.FINE:
                bounds = ids.bounds(run)
                raise DataError(self._out_of_range(run, ids.values[int(bounds[0]) : int(bounds[-1])], bounds))
            column += run.width
        return output

    def _bags(self, run: Run, ids: Ids, column: int) -> host_rows.Bags | None:
        return host_rows.make_bags(run, ids, *((self._width, column) if self.pooled else ()))

    def _summed(self, run: Run, gradient: Tensor, ids: Ids, column: int) -> tuple[Tensor, Tensor]:
        """Touched rows and the sums of their gradients."""
        bounds = ids.bounds(run)
        first, last = int(bounds[0]), int(bounds[-1])
        rows_N = ids.values[first:last] + torch.repeat_interleave(run.first_rows, _counts(run, bounds))
        scale = None if ids.weights is None else ids.weights[first:last]
        if self.pooled:
            bags_N = _bags(run, bounds, ids.batch)
            part = gradient[:, column : column + run.width].reshape(-1, run.dim)
        else:
            bags_N, part = None, gradient[first:last]
        return sum_by_row(rows_N, part.contiguous(), bags_N, scale)

    def _update_rows(self, run: Run, rows_U: Tensor, gradient_UD: Tensor) -> None:
        if self.exchange is not None:
            rows_U, gradient_UD = self.exchange(rows_U, gradient_UD, run.weight.shape[0])
        if not rows_U.numel():
            return
        touched = TouchedRows(
            weight=run.weight.index_select(0, rows_U).float(),
            gradient=gradient_UD,
            states=[state.index_select(0, rows_U) for state in run.states],
            lr=self._lr,
            step=self.step,
            hyper=self._hyper,
        )
        self._rule.update(touched)
        run.weight.index_copy_(0, rows_U, touched.weight.to(run.weight.dtype))
        for state, new in zip(run.states, touched.states, strict=True):
            state.index_copy_(0, rows_U, new)

    def _rows(self, run: Run, ids_N: Tensor, bounds: Tensor) -> Tensor:
        """Ids as rows of the run; an id beyond its table would be a row of the next one, so it is an error."""
        counts_F = _counts(run, bounds)
        last_N = torch.repeat_interleave(run.last_ids, counts_F)
        if bool(((ids_N < 0) | (ids_N > last_N)).any()):
            raise DataError(self._out_of_range(run, ids_N, bounds))
        return ids_N + torch.repeat_interleave(run.first_rows, counts_F)

    def _out_of_range(self, run: Run, ids_N: Tensor, bounds: Tensor) -> str:
        counts_F = _counts(run, bounds)
        feature_N = torch.repeat_interleave(torch.arange(counts_F.numel(), device=counts_F.device), counts_F)
        bad = int(torch.nonzero((ids_N < 0) | (ids_N > run.last_ids[feature_N]))[0])
        table = self._features[run.features.start + int(feature_N[bad])]
        rows = self.embedding_specs[table][0]
        return f"table {self._names[table]!r}: id {int(ids_N[bad])} is outside its rows 0 to {rows - 1}"

    def _make_runs(self) -> tuple[Run, ...]:
        device = self.weights_host.device
        runs, weights, states = [], self.split_embedding_weights(), self.get_optimizer_state()
        for _, group in groupby(range(len(weights)), key=lambda t: self.embedding_specs[t][1]):
            tables = list(group)
            heights = [weights[t].shape[0] for t in tables]
            starts = dict(zip(tables, [0, *torch.tensor(heights).cumsum(0).tolist()], strict=False))
            features = [f for f, t in enumerate(self._features) if t in starts]
            first, total = tables[0], sum(heights)
            runs.append(
                Run(
                    weight=_extended(weights[first], total),
                    states=tuple(_extended(states[first][name], total) for name, _ in self._rule.states),
                    features=slice(features[0], features[-1] + 1) if features else slice(0, 0),
                    first_rows=torch.tensor([starts[self._features[f]] for f in features], device=device),
                    last_ids=torch.tensor([weights[self._features[f]].shape[0] - 1 for f in features], device=device),
                )
            )
        return tuple(runs)

    def _split(self, flat: Tensor, rowwise: bool) -> list[Tensor]:
        sizes = [rows if rowwise else rows * dim for rows, dim, *_ in self.embedding_specs]
        views = flat.split(sizes)
        return (
            list(views) if rowwise else [v.view(s[0], s[1]) for v, s in zip(views, self.embedding_specs, strict=True)]
        )


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, trigger: Tensor, tables: RowTables, ids: Ids) -> Tensor:  # type: ignore[override]
        ctx.tables, ctx.ids = tables, ids
        return tables.lookup(ids)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:  # type: ignore[override]
        ctx.tables.update(gradient, ctx.ids)
        return None, None, None


def _extended(first: Tensor, rows: int) -> Tensor:
    """The view of `first`, extended over the tables that follow it in memory."""
    return first.as_strided((rows, *first.shape[1:]), first.stride(), first.storage_offset())


def _sums(run: Run, rows_N: Tensor, bounds: Tensor, scale: Tensor | None, batch: int) -> Tensor:
    if run.weight.dtype == torch.float32:
        sums = F.embedding_bag(
            rows_N, run.weight, bounds, mode="sum", per_sample_weights=scale, include_last_offset=True
        )
    else:  # a sum of halves would be rounded to half
        rows, each = run.weight.index_select(0, rows_N).float(), torch.arange(rows_N.numel(), device=rows_N.device)
        sums = F.embedding_bag(each, rows, bounds, mode="sum", per_sample_weights=scale, include_last_offset=True)
    return sums.view(-1, batch, run.dim).transpose(0, 1).reshape(batch, -1)


def _counts(run: Run, bounds: Tensor) -> Tensor:
    """Ids of each feature of a run."""
    batch = (bounds.numel() - 1) // max(run.first_rows.numel(), 1)
    return bounds[::batch].diff() if batch else torch.zeros_like(run.first_rows)


def _bags(run: Run, bounds: Tensor, batch: int) -> Tensor:
    """For each id, the row of the gradient, seen as [B * F, D], that its bag was pooled into."""
    features = run.features.stop - run.features.start
    rows_FB = torch.arange(batch * features, device=bounds.device).view(batch, features).t().reshape(-1)
    return torch.repeat_interleave(rows_FB, bounds.diff())


def sum_by_row(
    rows_N: Tensor, gradient: Tensor, sources_N: Tensor | None = None, scale_N: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Touched rows, rising, and the sum of the gradients of each.

    Args:
        rows_N: row that each id touched.
        gradient: [N, D], or any number of rows where `sources_N` says which is an id's.
        sources_N: row of `gradient` of each id.
        scale_N: factor of each id.
    """
    if not rows_N.numel():
        return rows_N, gradient.new_zeros(0, gradient.shape[1])
    sorted_N, order_N = torch.sort(rows_N, stable=True)
    is_first_N = torch.ones_like(sorted_N, dtype=torch.bool)
    torch.ne(sorted_N[1:], sorted_N[:-1], out=is_first_N[1:])
    starts_U = torch.nonzero(is_first_N).view(-1)
    chosen_N = order_N if sources_N is None else sources_N.index_select(0, order_N)
    scale = None if scale_N is None else scale_N.index_select(0, order_N)
    return sorted_N.index_select(0, starts_U), F.embedding_bag(
        chosen_N, gradient, starts_U, mode="sum", per_sample_weights=scale
    )


def _hyper(options: dict[str, Any]) -> Hyper:
    named = {k: v for k, v in options.items() if k in Hyper.__dataclass_fields__ and k != "weight_decay_mode"}
    mode = getattr(options.get("weight_decay_mode"), "name", "NONE")
    return replace(Hyper(**named), weight_decay_mode=_DECAY_MODES.get(mode, "none"))
