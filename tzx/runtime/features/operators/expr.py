"""ExprFeature: a formula over numbers and vectors of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.arrays import Int32
from tzx.runtime.features.bucketizers import has_field
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.expression import Expression, Operand, Vectors, parse_expression
from tzx.runtime.features.numbers import to_floats
from tzx.runtime.features.operators.base import layout_of
from tzx.runtime.features.ragged import Bool, Ragged, align, head_values, is_complete, ones
from tzx.runtime.features.reading import Layout


@dataclass(frozen=True)
class ExprOperator:
    """Evaluates `expression` where every variable has a value; the other slots are missing.

    Args:
        layouts: how each input is written.
        expression: the formula.
        names: what each input is called in the formula.
        width: numbers kept per slot, 0 for all.
        fill: what short vectors lack; None is NaN in a formula and an error in its result.
        is_sequence: slots are elements.
    """

    layouts: tuple[Layout, ...]
    expression: Expression
    names: tuple[str, ...]
    width: int
    fill: float | None
    is_sequence: bool

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Numbers."""
        numbers = align([ragged.with_values(to_floats(ragged)) for ragged in inputs], self.is_sequence)
        present = None
        if not all(is_complete(ragged.lengths) for ragged in numbers):
            present = np.logical_and.reduce([ragged.lengths > 0 for ragged in numbers])
        variables = {name: _operand(ragged, present) for name, ragged in zip(self.names, numbers, strict=True)}
        result = self.expression.over_vectors(variables, np.nan if self.fill is None else self.fill)
        return self._in_slots(result, present, numbers[0])

    def _in_slots(self, result: Operand, present: Bool | None, like: Ragged) -> Ragged:
        """Put the numbers of the present slots, None for all, to where these are."""
        lengths: Int32 = ones(len(like.lengths)) if present is None else present.astype(np.int32)
        if isinstance(result, Vectors):
            values = result.values
            lengths[slice(None) if present is None else present] = result.lengths
        else:
            values = result if result.ndim else np.full(np.count_nonzero(lengths), result)
        made = Ragged(values, lengths, like.seq_lengths, column=like.column)
        return self._widened(head_values(made, self.width) if isinstance(result, Vectors) else made)

    def _widened(self, ragged: Ragged) -> Ragged:
        """Fill up short results to the width, when there is something to fill with."""
        if self.fill is None or self.width < 2:
            return ragged
        short = (ragged.lengths > 0) & (ragged.lengths < self.width)
        if not short.any():
            return ragged
        lengths: Int32 = np.where(short, np.int32(self.width), ragged.lengths)
        own = np.repeat(ragged.lengths, lengths)
        ends = np.cumsum(lengths, dtype=np.int64)
        places = np.arange(len(own)) - np.repeat(ends - lengths, lengths)
        values = np.full(len(own), self.fill)
        values[places < own] = ragged.values
        return replace(ragged, values=values, lengths=lengths)


def _operand(ragged: Ragged, present: Bool | None) -> Operand:
    """Values of the present slots, plain numbers where no slot has more than one."""
    values = np.asarray(ragged.values, np.float64)
    lengths = ragged.lengths
    if present is not None:
        values, lengths = values[np.repeat(present, lengths)], lengths[present]
    if len(values) == len(lengths):
        return values
    return Vectors(values, lengths.astype(np.int64))


def variable_names(inputs: Sequence[Input]) -> tuple[str, ...]:
    """What inputs are called in a formula.

    Raises:
        ConfigError: two have the same name.
    """
    names = tuple(entry.name for entry in inputs)
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice:
        raise ConfigError(f"variable {twice[0]!r} is given twice; variables of a formula need names of their own")
    return names


def make(declared: Declared, inputs: Sequence[Input]) -> ExprOperator:
    """Operator of an ExprFeature."""
    config = declared.config
    names = variable_names(inputs)
    return ExprOperator(
        layouts=(layout_of(declared, drop_empty=False),) * len(inputs),
        expression=parse_expression(config.expression, names),
        names=names,
        width=kinds.value_dim(declared.kind, config, declared.is_sequence),
        fill=config.fill_missing if has_field(config, "fill_missing") else None,
        is_sequence=declared.is_sequence,
    )
