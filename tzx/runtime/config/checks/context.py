"""What rules see: the config, views of its features and groups, and a report that knows where fields stand."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tzx.runtime.config.accessors import effective_fg_mode, which_feature
from tzx.runtime.config.checks.facts import INPUT_FIELDS, is_sparse
from tzx.runtime.config.nodes import Node, walk
from tzx.runtime.config.own_messages import inside
from tzx.runtime.config.problems import Report, hint
from tzx.runtime.config.schema import PACKAGE, FieldSpec, fields_of, is_any, type_name
from tzx.runtime.config.source import Place
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.protos import data_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

_NAMES_COMPARED = 30_000


@dataclass(frozen=True)
class FeatureView:
    """One feature, the members of grouped sequences one by one. `kind` is the oneof member without "sequence_"."""

    name: str
    kind: str
    config: Any
    path: Path
    group: Any
    is_sequence: bool

    @property
    def is_sparse(self) -> bool:
        """Whether it yields ids, which need a table."""
        return is_sparse(self.kind, self.config)

    @property
    def table(self) -> str:
        """Name of its embedding table."""
        return self.config.embedding_name or f"{self.name}_emb"

    @property
    def inputs(self) -> list[tuple[str, Path]]:
        """Each `side:name` as written, with its path."""
        found: list[tuple[str, Path]] = []
        for name in INPUT_FIELDS[self.kind]:
            value = getattr(self.config, name)
            if isinstance(value, str):
                found.append((value, (*self.path, name)))
            else:
                found += [(text, (*self.path, name, index)) for index, text in enumerate(value)]
        return [(text, path) for text, path in found if text and not (self.kind == "match_feature" and text == "ALL")]


class Context:
    """Everything rules need; `rule` is the name of the one that is running."""

    def __init__(self, config: EasyRecConfig, places: SourceMap, report: Report, damaged: Set[Path]) -> None:
        self.config: Any = config
        self.data = config.data_config
        self.train = config.train_config
        self.model_config = config.model_config
        self.places = places
        self.report = report
        self.damaged = damaged
        self.rule = ""
        self._names_left = _NAMES_COMPARED

    def error(self, path: Path, message: str) -> None:
        """Report an error at a field, unless that very field could not be read and has been reported."""
        if path not in self.damaged:
            self.report.error(self.places.value(path), message, self.rule)

    def warn(self, path: Path, message: str) -> None:
        """Report a warning at a field."""
        if path not in self.damaged:
            self.report.warn(self.places.value(path), message, self.rule)

    def hint(self, name: str, choices: Iterable[str]) -> str:
        """What was probably meant, while the time for such advice lasts: a slip may make thousands of names unknown."""
        pool = list(choices)
        self._names_left -= len(pool)
        return hint(name, pool) if self._names_left > 0 else ""

    def fg_error(self, path: Path, message: str) -> None:
        """Report what matters only when features are generated: otherwise a warning."""
        if self.generates_features:
            self.error(path, message)
        else:
            self.warn(path, f"{message} (not used in fg_mode {data_pb2.FgMode.Name(self.fg_mode)})")

    def broken(self, path: Path) -> bool:
        """Whether something at or below a path could not be read."""
        return any(damage[: len(path)] == path for damage in self.damaged)

    def where(self, path: Path) -> str:
        """How to name the place of another field inside a message."""
        place: Place | None = self.places.name(path)
        return place.short_label if place else "elsewhere"

    @cached_property
    def fg_mode(self) -> int:
        """FgMode that holds."""
        return effective_fg_mode(self.data)

    @property
    def generates_features(self) -> bool:
        """Whether features are made from raw inputs."""
        return self.fg_mode in (data_pb2.FG_NORMAL, data_pb2.FG_DAG)

    @cached_property
    def features(self) -> list[FeatureView]:
        """All features in config order."""
        return list(_features(self.config))

    @cached_property
    def by_name(self) -> dict[str, FeatureView]:
        """Features by full name; of equal names the first."""
        found: dict[str, FeatureView] = {}
        for feature in self.features:
            found.setdefault(feature.name, feature)
        return found

    def find_feature(self, name: str) -> FeatureView | None:
        """The feature of a name. Grouped sequences may also join their parts with one underscore (USE_RTP)."""
        if name in self.by_name:
            return self.by_name[name]
        return self._single_underscore.get(name)

    @cached_property
    def _single_underscore(self) -> dict[str, FeatureView]:
        grouped = (feature for feature in self.features if feature.group is not None)
        return {f"{view.group.sequence_name}_{view.config.feature_name}": view for view in grouped}

    @cached_property
    def groups(self) -> list[Node]:
        """Feature groups."""
        path: Path = ("model_config", "feature_groups")
        return [Node(group, (*path, index)) for index, group in enumerate(self.model_config.feature_groups)]

    @cached_property
    def group_by_name(self) -> dict[str, Node]:
        """Feature groups by name; of equal names the first."""
        found: dict[str, Node] = {}
        for group in self.groups:
            found.setdefault(group.message.group_name, group)
        return found

    @cached_property
    def used(self) -> dict[str, list[Node]]:
        """For each feature name the groups, sequence groups included, that list it."""
        found: dict[str, list[Node]] = {}
        for group in self.groups:
            for node in (group, *self.sequence_groups(group)):
                for name in node.message.feature_names:
                    found.setdefault(name, []).append(node)
        return found

    def sequence_groups(self, group: Node) -> list[Node]:
        """Sequence groups inside a feature group."""
        return self.children(group, "sequence_groups")

    def children(self, node: Node, name: str) -> list[Node]:
        """Items of a repeated message field."""
        return [Node(item, (*node.path, name, index)) for index, item in enumerate(getattr(node.message, name))]

    def members(self, node: Node) -> list[FeatureView]:
        """Known features that a group or sequence group lists."""
        found = (self.find_feature(name) for name in node.message.feature_names)
        return [feature for feature in found if feature is not None]

    @cached_property
    def model(self) -> Node | None:
        """The message that describes the model's network, for a model of the user's own the one that it registered."""
        member = self.model_config.WhichOneof("model")
        message = inside(getattr(self.model_config, member)) if member else None
        return None if message is None or is_any(message.DESCRIPTOR) else Node(message, ("model_config", member))

    @property
    def model_fields(self) -> dict[str, FieldSpec]:
        """Fields of that message; of the user's own ones only the task towers, for the others may mean anything."""
        if self.model is None:
            return {}
        descriptor = self.model.message.DESCRIPTOR
        is_own = descriptor.file.package != PACKAGE
        return {name: s for name, s in fields_of(descriptor).items() if not is_own or name == "task_towers"}

    @property
    def model_name(self) -> str:
        """Its message type, such as DeepFM."""
        return type_name(self.model.message.DESCRIPTOR) if self.model else ""

    @cached_property
    def towers(self) -> list[Node]:
        """Task towers of a multi-task model."""
        if self.model is None:
            return []
        names = self.model_fields
        if "task_towers" in names:
            return self.children(self.model, "task_towers")
        if "fusion_mtl_tower" in names:
            inner = Node(self.model.message.fusion_mtl_tower, (*self.model.path, "fusion_mtl_tower"))
            return self.children(inner, "task_configs")
        return []

    @property
    def tasks(self) -> list[Node]:
        """Where losses and metrics stand: each task tower, or model_config itself."""
        is_multi_task = not {"task_towers", "fusion_mtl_tower"}.isdisjoint(self.model_fields)
        return self.towers if is_multi_task else [Node(self.model_config, ("model_config",))]

    @cached_property
    def _by_type(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in walk(self.config):
            found.setdefault(type_name(node.message.DESCRIPTOR), []).append(node)
        return found

    def of_type(self, *names: str) -> list[Node]:
        """All set messages of some types, anywhere in the config."""
        return [node for name in names for node in self._by_type.get(name, [])]

    @property
    def messages(self) -> Iterator[Node]:
        """All set messages of types that come with tzx."""
        for nodes in self._by_type.values():
            yield from (node for node in nodes if node.message.DESCRIPTOR.file.package == PACKAGE)


def _features(config: EasyRecConfig) -> Iterator[FeatureView]:
    for index, feature_config in enumerate(config.feature_configs):
        member, feature = which_feature(feature_config)
        path: Path = ("feature_configs", index, member)
        if member == "sequence_feature":
            for number, inner in enumerate(feature.features):  # type: ignore[attr-defined]
                kind, sub = which_feature(inner)
                name = f"{feature.sequence_name}__{sub.feature_name}" if kind else ""  # type: ignore[attr-defined]
                if kind:
                    yield FeatureView(name, kind, sub, (*path, "features", number, kind), feature, True)
        elif member:
            kind = member.removeprefix("sequence_")
            in_sequence = kind != member or (kind == "tokenize_feature" and feature.tokens_as_sequence)  # type: ignore[attr-defined]
            yield FeatureView(feature.feature_name, kind, feature, path, None, in_sequence)  # type: ignore[attr-defined]
