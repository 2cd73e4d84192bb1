"""One feature ready to run: what it reads, its operator, and what makes ids or numbers of the result."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.bucketizers import make_bucketizer
from tzx.runtime.features.declared import FROM_FEATURE, Declared, Input, generated_here, raw_inputs
from tzx.runtime.features.defaults import encoded_default, make_output
from tzx.runtime.features.feature import Feature, make_feature
from tzx.runtime.features.operators import Operator, make_operator
from tzx.runtime.features.operators.base import layout_of
from tzx.runtime.features.outputs import Output
from tzx.runtime.features.ragged import BadValue, Ragged, as_rows
from tzx.runtime.features.reading import Layout, split_pairs
from tzx.runtime.features.settings import FeatureSettings
from tzx.runtime.features.source import Source
from tzx.runtime.protos import data_pb2


@dataclass(frozen=True)
class Context:
    """What of a data config concerns features."""

    mode: "data_pb2.FgMode"
    encoded_separator: str
    settings: FeatureSettings


@dataclass(frozen=True)
class Node:
    """One feature of the graph; a stub is made for other features only."""

    feature: Feature
    stub: bool
    inputs: tuple[Input, ...]
    layouts: tuple[Layout, ...]
    operator: Operator | None
    output: Output

    @property
    def needs(self) -> tuple[str, ...]:
        """Features whose output it reads."""
        return tuple(i.name for i in self.inputs if i.side == FROM_FEATURE)

    def run(self, source: Source) -> Ragged:
        """Values of the feature for one batch."""
        return self.output(self.values(self.read(source)))

    def read(self, source: Source) -> list[Ragged]:
        """First stage: what the inputs hold, one slot per row or element."""
        masked = self._masked_input(source)
        return [self._read(source, at, at == masked) for at in range(len(self.inputs))]

    def read_tolerant(self, source: Source) -> tuple[list[Ragged], list[tuple[BadValue, int]]]:
        """First stage, and per input with unreadable slots the first of them and their number."""
        masked = self._masked_input(source)
        inputs = self.read(source)
        keys = [(entry, self.layouts[at], at == masked) for at, entry in enumerate(self.inputs)]
        return inputs, [source.refused[key] for key in keys if key in source.refused]

    def values(self, inputs: list[Ragged]) -> Ragged:
        """Second stage: values before defaults and bucketizing, which are the third."""
        return inputs[0] if self.operator is None else self.operator(inputs)

    def _masked_input(self, source: Source) -> int:
        """Index of the input that the sample mask nulls: the first that is no map; -1 for none."""
        if source.mask is None or not getattr(self.feature.config, "use_mask", False):
            return -1
        return next((at for at, i in enumerate(self.inputs) if i.column and not source.is_map(i.column)), -1)

    def _read(self, source: Source, at: int, masked: bool) -> Ragged:
        entry = self.inputs[at]
        ragged = source.read(entry, self.layouts[at], masked)
        if entry.side != FROM_FEATURE:
            return ragged
        if self.layouts[at].pairs:
            ragged = split_pairs(ragged, self.layouts[at].key_end)
        return _as_elements(ragged) if self.feature.is_sequence else as_rows(ragged)


def _as_elements(ragged: Ragged) -> Ragged:
    """Every value of a plain feature as an element of a sequence."""
    if ragged.seq_lengths is not None:
        return ragged
    return replace(ragged, lengths=np.ones(len(ragged.values), np.int32), seq_lengths=ragged.lengths)


def make_node(declared: Declared, context: Context) -> Node:
    """Resolve one declared feature for a mode.

    Raises:
        ConfigError: its config cannot work; the message does not name the feature yet.
    """
    config = declared.config
    _check_separators(declared, context)
    generated = generated_here(context.mode)
    given = _inputs_of(declared, context, generated)
    reads = given if generated else (Input("", declared.name, declared.name, declared.is_sequence),)
    default_text = kinds.default_value(config, declared.is_sequence)
    bucketizer = make_bucketizer(config, default_text, context.settings)
    feature = make_feature(declared, given, [i.column for i in reads if i.column], bucketizer)
    operator = make_operator(declared, reads) if generated else None
    layouts = operator.layouts if operator else (_column_layout(declared, feature, context),)
    output = make_output(feature, layouts[0], bucketizer, context.mode)
    cut = (
        layout if i.is_sequence else replace(layout, delimiter=None) for layout, i in zip(layouts, reads, strict=True)
    )
    return Node(feature, config.stub_type, reads, tuple(cut), operator, output)


def _inputs_of(declared: Declared, context: Context, generated: bool) -> tuple[Input, ...]:
    try:
        inputs = raw_inputs(declared, context.settings)
    except ConfigError:
        # Columns named like features need no expressions; only who the feature belongs to is lost.
        if generated:
            raise
        return ()
    if generated and not inputs:
        raise ConfigError('it has no input; write expression: "side:name"')
    if generated and context.mode != data_pb2.FG_DAG and any(i.side == FROM_FEATURE for i in inputs):
        raise ConfigError("an input with side feature: needs fg_mode: FG_DAG")
    return inputs


def _check_separators(declared: Declared, context: Context) -> None:
    if not declared.separator:
        raise ConfigError("separator is empty; it must be at least one character")
    if declared.is_sequence and not declared.tokens_as_sequence and not declared.delimiter:
        raise ConfigError("sequence_delim is empty; it must be at least one character")
    if context.mode == data_pb2.FG_BUCKETIZE and declared.tokens_as_sequence:
        raise ConfigError("tokens_as_sequence does not work with fg_mode: FG_BUCKETIZE")


def _column_layout(declared: Declared, feature: Feature, context: Context) -> Layout:
    """How a column named like the feature is written, in FG_NONE and FG_BUCKETIZE."""
    if context.mode == data_pb2.FG_BUCKETIZE:
        drop_empty = kinds.KINDS[feature.kind].word_like or feature.is_sparse
        return layout_of(declared, drop_empty=drop_empty, weighted=getattr(feature.config, "weighted", False))
    separator = context.encoded_separator.encode()
    delimiter = separator if declared.tokens_as_sequence else declared.delimiter.encode()
    return Layout(
        separator=separator,
        delimiter=delimiter if declared.is_sequence else None,
        drop_empty=feature.is_sparse,
        fill_rows=encoded_default(feature) is not None,
        weighted=getattr(feature.config, "weighted", False),
        map_keys=True,
    )


def unknown_needs(nodes: Sequence[Node]) -> list[str]:
    """One line for every `feature:` input that names no feature."""
    known = {node.feature.name for node in nodes}
    return [
        f"feature {node.feature.name!r}: input feature:{name} names no feature"
        for node in nodes
        for name in node.needs
        if name not in known
    ]
