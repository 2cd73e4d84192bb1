"""Feature groups: from a batch to the tensors that models work on.

Every table is looked up once per batch, however many groups use a feature; groups then only join columns.

Legend: B rows, T longest sequence of the batch, M sequence elements over all rows, D width of a group.
"""

from collections.abc import Sequence
from itertools import groupby

from torch import Tensor, nn

from tzx.runtime.config.problems import hint
from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.embedding.columns import ColumnFactory, ElementColumns, Place, joined
from tzx.runtime.embedding.dynamic.ids import DynamicIds
from tzx.runtime.embedding.dynamic.initial import Initial, initial_of_text
from tzx.runtime.embedding.dynamic.specs import IdMapSpec, make_specs
from tzx.runtime.embedding.runs import EmbeddedRows, Neighbours, Run
from tzx.runtime.embedding.specs import TablePlan, TableSpec, WideOptions, home_of
from tzx.runtime.embedding.tables import PooledTables, SequenceTables
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import Feature
from tzx.runtime.nn.sequence_encoders import make_encoder
from tzx.runtime.protos.model_pb2 import JAGGED_SEQUENCE, SEQUENCE, WIDE, FeatureGroupConfig, SeqGroupConfig
from tzx.runtime.protos.seq_encoder_pb2 import DINEncoder, SeqEncoderConfig


class EmbeddingGroups(nn.Module):
    """All feature groups of a model, with the embedding tables that they share.

    Outputs: `<group>` for DEEP and WIDE; `<group>.query`, `<group>.sequence` and `<group>.sequence_length` for SEQUENCE
    and JAGGED_SEQUENCE, where a part without features has no output.

    Args:
        features: features that groups may name.
        groups: what to build.
        layout: where features lie in a batch.
        wide: width and initializer of the tables of WIDE groups.

    Raises:
        ConfigError: a group or a table that does not fit together; the message names group and feature.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        groups: Sequence[FeatureGroupConfig],
        layout: BatchLayout,
        wide: WideOptions | None = None,
    ) -> None:
        super().__init__()
        plan = TablePlan(wide)
        factory = ColumnFactory(features, layout, plan)
        self.groups = nn.ModuleDict()
        for config in groups:
            # A bare name such as "type" or "items" would hide a method of the container.
            key = f"{config.group_name}_group"
            if "." in key or key in self.groups:
                raise ConfigError(f"feature group {config.group_name!r}: names must be unique and without dots")
            self.groups[key] = _make_group(config, factory)
        self.tables: tuple[TableSpec, ...] = plan.tables()
        self.collections = _make_collections(self.tables, layout, factory.neighbours)
        self.numeric = nn.ModuleList(factory.numeric.modules(factory.neighbours))
        looked_up = {name for table in self.tables for name in table.feature_names}
        id_maps = make_specs(f for f in features if f.name in looked_up)
        self.dynamic = DynamicIds(id_maps, layout) if id_maps else None
        self.initials = _make_initials(self.tables, id_maps)
        self._dims: dict[str, dict[str, int]] = {}
        for group in self.groups.values():
            self._dims.update(group.dims)  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Tensors of every group by output name."""
        if self.dynamic is not None:
            batch = self.dynamic(batch)
        by_run: dict[Run, Tensor] = {}
        for collection in (*self.collections.values(), *self.numeric):
            by_run.update(collection(batch))
        rows = EmbeddedRows(by_run)
        outputs: dict[str, Tensor] = {}
        for group in self.groups.values():
            outputs.update(group(rows, batch))
        return outputs

    def has_output(self, output: str) -> bool:
        """Whether there is an output called `output`."""
        return output in self._dims

    def feature_dims(self, output: str) -> dict[str, int]:
        """Width of each feature, and of each encoder, in the output called `output`."""
        if output not in self._dims:
            raise ConfigError(f"no feature group output {output!r}{hint(output, self._dims)}")
        return dict(self._dims[output])

    def group_dims(self, output: str) -> list[int]:
        """Widths of the features of an output, in listed order."""
        return list(self.feature_dims(output).values())

    def total_dim(self, output: str) -> int:
        """Width D of an output."""
        return sum(self.group_dims(output))


class _RowGroup(nn.Module):
    """DEEP and WIDE: columns, then encoded sequences."""

    def __init__(self, config: FeatureGroupConfig, factory: ColumnFactory) -> None:
        super().__init__()
        self.name = config.group_name
        place = Place(self.name, config.group_type == WIDE, config.embedding_name_suffix)
        self.columns = factory.row_columns(_unique(config.feature_names, self.name), place)
        self.sequences = _make_sequences(config, factory)
        self.encoders = nn.ModuleList()
        self.inputs = [_chosen(e).input for e in config.sequence_encoders]
        dims = dict(self.columns.dims)
        for i, encoder in enumerate(config.sequence_encoders):
            self.encoders.append(self._make_encoder(encoder))
            dims[f"{self.name}_seq_encoder_{i}"] = self.encoders[-1].out_dim  # type: ignore[assignment]
        if not dims:
            raise ConfigError(f"feature group {self.name!r} has neither features nor sequence encoders")
        self.dims = {self.name: dims}

    def forward(self, rows: EmbeddedRows, batch: Batch) -> dict[str, Tensor]:
        parts = self.columns.tensors(rows, batch)
        encoded = {name: s.tensors(rows, batch) for name, s in self.sequences.items()}
        for encoder, name in zip(self.encoders, self.inputs, strict=True):
            parts.append(encoder(*encoded[name]))
        return {self.name: joined(parts)}

    def _make_encoder(self, config: SeqEncoderConfig) -> nn.Module:
        name = _chosen(config).input
        if name not in self.sequences:
            known = ", ".join(self.sequences) or "none"
            raise ConfigError(
                f"feature group {self.name!r}: a sequence encoder reads {name!r}, which is not one of the group's "
                f"sequence_groups ({known})"
            )
        source = self.sequences[name]
        try:
            return make_encoder(config, sum(source.query.dims.values()), sum(source.sequence.dims.values()))
        except ConfigError as error:
            raise ConfigError(f"feature group {self.name!r}: {error}") from error


class _SequenceGroup(nn.Module):
    """SEQUENCE and JAGGED_SEQUENCE: a query per row, and a sequence, padded or flat."""

    def __init__(self, config: FeatureGroupConfig, factory: ColumnFactory) -> None:
        super().__init__()
        if config.sequence_groups or config.sequence_encoders:
            raise ConfigError(
                f"feature group {config.group_name!r}: sequence_groups and sequence_encoders belong into DEEP groups"
            )
        self.name = config.group_name
        self.jagged = config.group_type == JAGGED_SEQUENCE
        self.source = _SequenceSource(config, self.name, factory)
        query, sequence = self.source.query.dims, self.source.sequence.dims
        self.dims = {f"{self.name}.query": query} if query else {}
        if sequence:
            self.dims[f"{self.name}.sequence"] = sequence

    def forward(self, rows: EmbeddedRows, batch: Batch) -> dict[str, Tensor]:
        outputs = {}
        if self.source.query.dims:
            outputs[f"{self.name}.query"] = self.source.query.join(rows, batch)
        if self.source.sequence.dims:
            elements = self.source.sequence
            flatten = elements.flat if self.jagged else elements.padded
            outputs[f"{self.name}.sequence"] = flatten(rows, batch)
            outputs[f"{self.name}.sequence_length"] = elements.lengths(batch)
        return outputs


class _SequenceSource:
    """The features of a sequence group: plain ones form the query, sequences the sequence.

    `suffix` is that of the group around it, for tables of a sequence group that names none.
    """

    def __init__(
        self, config: FeatureGroupConfig | SeqGroupConfig, name: str, factory: ColumnFactory, suffix: str = ""
    ) -> None:
        place = Place(name, suffix=config.embedding_name_suffix or suffix)
        names = _unique(config.feature_names, name)
        if not names:
            raise ConfigError(f"feature group {name!r} has no features")
        elements = [n for n in names if factory.feature(n, name).is_sequence]
        self.query = factory.row_columns([n for n in names if n not in elements], place)
        self.sequence = ElementColumns(name, [factory.element_column(n, place) for n in elements])

    def tensors(self, rows: EmbeddedRows, batch: Batch) -> tuple[Tensor | None, Tensor, Tensor]:
        """Query [B, Q], padded sequence [B, T, D] and lengths [B]."""
        query = self.query.join(rows, batch) if self.query.dims else None
        return query, self.sequence.padded(rows, batch), self.sequence.lengths(batch)


def _make_group(config: FeatureGroupConfig, factory: ColumnFactory) -> nn.Module:
    is_sequence = config.group_type in (SEQUENCE, JAGGED_SEQUENCE)
    return _SequenceGroup(config, factory) if is_sequence else _RowGroup(config, factory)


def _make_sequences(config: FeatureGroupConfig, factory: ColumnFactory) -> dict[str, _SequenceSource]:
    name = config.group_name
    if config.sequence_groups and not config.sequence_encoders:
        raise ConfigError(f"feature group {name!r} has sequence_groups but no sequence_encoders to read them")
    sequences: dict[str, _SequenceSource] = {}
    for sequence in config.sequence_groups:
        own_name = sequence.group_name or (name if len(config.sequence_groups) == 1 else "")
        if not own_name:
            raise ConfigError(f"feature group {name!r}: each of several sequence_groups needs a group_name")
        if own_name in sequences:
            raise ConfigError(f"feature group {name!r}: two sequence_groups are named {own_name!r}")
        sequences[own_name] = _SequenceSource(sequence, own_name, factory, config.embedding_name_suffix)
        if not sequences[own_name].sequence.columns:
            raise ConfigError(f"feature group {name!r}: sequence group {own_name!r} has no sequence feature")
    return sequences


def _make_collections(tables: Sequence[TableSpec], layout: BatchLayout, neighbours: Neighbours) -> nn.ModuleDict:
    collections = nn.ModuleDict()
    pooled = [t for t in tables if home_of(t) == "pooled"]
    weighted = [t for t in tables if home_of(t) == "weighted"]
    if pooled:
        collections["pooled"] = PooledTables(pooled, layout, neighbours)
    if weighted:
        collections["weighted"] = PooledTables(weighted, layout, neighbours)
    # TorchRec wants equal widths within one EmbeddingCollection.
    sequence = sorted((t for t in tables if home_of(t) == "sequence"), key=lambda t: t.dim)
    for dim, group in groupby(sequence, key=lambda t: t.dim):
        collections[f"sequence_{dim}"] = SequenceTables(list(group), layout)
    return collections


def _make_initials(tables: Sequence[TableSpec], id_maps: Sequence[IdMapSpec]) -> dict[str, Initial]:
    """Where new rows start, for each table whose rows are given to ids as these come."""
    of_map = {spec.name: spec.initial for spec in id_maps}
    initials = {}
    for table in tables:
        if table.id_map:
            try:
                own = None if table.init_fn else of_map[table.id_map]
                initials[table.name] = own or initial_of_text(table.init_fn, table.rows)
            except ConfigError as error:
                raise ConfigError(f"feature {table.feature_names[0]!r}: {error}") from error
    return initials


def _unique(names: Sequence[str], group: str) -> Sequence[str]:
    repeated = sorted({n for n in names if list(names).count(n) > 1})
    if repeated:
        raise ConfigError(f"feature group {group!r} lists {', '.join(repeated)} more than once")
    return names


def _chosen(config: SeqEncoderConfig) -> DINEncoder:
    # Every encoder message has an input.
    return getattr(config, config.WhichOneof("seq_module") or "din_encoder")
