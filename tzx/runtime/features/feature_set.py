"""All features of a config: the graph they form, and generating a batch of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from tzx.runtime.config import effective_fg_mode
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.features.alike import Group, Portion, alike, make_together, portions
from tzx.runtime.features.arrays import FeatureData
from tzx.runtime.features.arrow import WrongType
from tzx.runtime.features.declared import FROM_FEATURE, declared_features
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.node import Context, Node, make_node, unknown_needs
from tzx.runtime.features.ragged import BadValue, Ragged
from tzx.runtime.features.settings import FeatureSettings
from tzx.runtime.features.source import Source
from tzx.runtime.features.tolerance import BadValueCounts, run_tolerant
from tzx.runtime.features.tracing import Traced
from tzx.runtime.protos import data_pb2


class FeatureSet:
    """Features in config order; made by `from_config`, pure and picklable afterwards."""

    def __init__(self, nodes: Sequence[Node], settings: FeatureSettings, tolerant: bool = False) -> None:
        self._tolerant = tolerant
        self._bad_values = BadValueCounts()
        self._nodes = tuple(_in_order(nodes))
        self._levels = _levels(self._nodes)
        self._read_by_others = frozenset(name for node in nodes for name in node.needs)
        self.settings = settings
        shown = [node.feature for node in nodes if not node.stub]
        self.features: tuple[Feature, ...] = tuple(shown)
        self.input_columns = tuple(dict.fromkeys(column for node in nodes for column in node.feature.inputs))

    @classmethod
    def from_config(
        cls,
        feature_configs: Iterable[Any],
        data_config: data_pb2.DataConfig,
        settings: FeatureSettings | None = None,
    ) -> "FeatureSet":
        """Resolve feature configs.

        Args:
            feature_configs: FeatureConfig messages.
            data_config: its fg_mode, fg_encoded_multival_sep and bad_value_policy count.
            settings: hashing and naming; read from the environment when not given.

        Raises:
            ConfigError: with one line per problem.
        """
        settings = settings or FeatureSettings.from_env()
        mode = effective_fg_mode(data_config)
        context = Context(mode, data_config.fg_encoded_multival_sep, settings)
        nodes: list[Node] = []
        problems = [] if context.encoded_separator else ["fg_encoded_multival_sep is empty"]
        seen: set[str] = set()
        for declared in declared_features(feature_configs, settings):
            if declared.name in seen:
                problems.append(f"feature {declared.name!r} is given twice")
            seen.add(declared.name)
            if declared.config.stub_type and mode in (data_pb2.FG_NONE, data_pb2.FG_BUCKETIZE):
                continue
            try:
                nodes.append(make_node(declared, context))
            except ConfigError as error:
                problems.append(f"feature {declared.name!r}: {error}")
        problems += [] if problems else unknown_needs(nodes)
        if problems:
            raise ConfigError("\n".join(problems))
        tolerant = data_config.bad_value_policy == data_pb2.BAD_VALUE_DEFAULT
        return cls(_with_users(nodes), settings, tolerant)

    @property
    def by_name(self) -> Mapping[str, Feature]:
        """Features by full name."""
        return MappingProxyType({feature.name: feature for feature in self.features})

    @property
    def names(self) -> tuple[str, ...]:
        """Full names of all features, stubs too."""
        return tuple(node.feature.name for node in self._nodes)

    def generate(self, record_batch: pa.RecordBatch, is_training: bool = False) -> dict[str, FeatureData]:
        """Make all features of a batch of rows.

        Args:
            record_batch: has at least `input_columns`; its schema metadata `tzx.origin` says where it came from.
            is_training: apply the sample mask.

        Returns:
            Arrays by full feature name, in the order of `features`.

        Raises:
            DataError: a column is missing or of the wrong type, or a value cannot be used.
        """
        source = Source(record_batch, is_training, self._tolerant)
        made: dict[str, FeatureData] = {}
        for level in self._levels:
            for node, ragged in self._run_level(level, source):
                name = node.feature.name
                if name in self._read_by_others:
                    source.made[name] = ragged
                if not node.stub:
                    made[name] = node.output.pack(ragged)
        return {feature.name: made[feature.name] for feature in self.features}

    def _run_level(self, level: "_Level", source: Source) -> list[tuple[Node, Ragged]]:
        try:
            return [done for portion in portions(level.groups, source) for done in self._run_portion(portion, source)]
        except DataError:
            # Of several errors, that of the first feature is the one to tell.
            return [(node, self._run(source, node)) for node in level.nodes]

    def _run_portion(self, portion: Portion, source: Source) -> Iterable[tuple[Node, Ragged]]:
        with suppress(BadValue, WrongType, pa.ArrowException):
            made = make_together(portion)
            if made is not None:
                return zip(portion.nodes, made, strict=True)
        return [(node, self._run(source, node)) for node in portion.nodes]

    def _run(self, source: Source, node: Node) -> Ragged:
        with source.naming(node.feature.name, node.feature.inputs):
            return run_tolerant(node, source, self._bad_values) if self._tolerant else node.run(source)

    @property
    def bad_values(self) -> dict[str, int]:
        """Bad rows or elements by feature, that this process has taken as missing under BAD_VALUE_DEFAULT."""
        return self._bad_values.as_dict()

    def take_bad_values(self) -> dict[str, int]:
        """Those of the batches that this thread has made since it last asked."""
        return self._bad_values.take()

    def trace(self, record_batch: pa.RecordBatch, tolerant: bool = False) -> Iterator[Traced]:
        """The stages of every feature of a batch, stubs too, each after those it reads; see `Traced`.

        Args:
            record_batch: has at least `input_columns`.
            tolerant: take bad values as missing, rather than raise when a stage is asked for.
        """
        source = Source(record_batch, is_training=False, tolerant=tolerant)
        for node in self._nodes:
            traced = Traced(node, source)
            if node.feature.name in self._read_by_others:
                # Who reads the stages of this feature gets its error, and those that need it one of their own.
                with suppress(DataError):
                    source.made[node.feature.name] = traced.result
            yield traced


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    """Nodes with every one after those it reads.

    Raises:
        ConfigError: features read each other in a circle.
    """
    by_name = {node.feature.name: node for node in nodes}
    done: dict[str, Node] = {}
    for start in by_name:
        path = [start]
        while path:
            node = by_name[path[-1]]
            waiting = [need for need in node.needs if need not in done]
            if not waiting:
                done[node.feature.name] = node
                path.pop()
            elif waiting[0] in path:
                circle = " -> ".join([*path[path.index(waiting[0]) :], waiting[0]])
                raise ConfigError(f"features read each other in a circle: {circle}")
            else:
                path.append(waiting[0])
    return list(done.values())


@dataclass(frozen=True)
class _Level:
    """Nodes that read only features of levels before it, and those of them that can be made together."""

    nodes: tuple[Node, ...]
    groups: list[Group]


def _levels(nodes: Sequence[Node]) -> list[_Level]:
    depth: dict[str, int] = {}
    levels: dict[int, list[Node]] = {}
    for node in nodes:
        at = depth[node.feature.name] = max((depth[need] + 1 for need in node.needs), default=0)
        levels.setdefault(at, []).append(node)
    return [_Level(tuple(levels[at]), alike(levels[at])) for at in sorted(levels)]


def _with_users(nodes: Sequence[Node]) -> list[Node]:
    """Nodes whose features know whether they depend on the user only, through other features too."""
    users: dict[str, bool] = {}
    for node in _in_order(nodes):
        of_inputs = [
            users[i.name] if i.side == FROM_FEATURE else i.side in ("user", "const") or i.is_sequence
            for i in node.inputs
        ]
        users[node.feature.name] = all(of_inputs) if node.needs else node.feature.is_user
    return [replace(node, feature=replace(node.feature, is_user=users[node.feature.name])) for node in nodes]
