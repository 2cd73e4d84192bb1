"""A feature as the config declares it: which message, in which sequence, under which name, from which inputs."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tzx.runtime.config import which_feature
from tzx.runtime.errors import ConfigError
from tzx.runtime.features.kinds import KINDS
from tzx.runtime.features.settings import FeatureSettings
from tzx.runtime.protos import data_pb2

SIDES = ("user", "item", "context", "feature", "const")
FROM_FEATURE, CONSTANT = "feature", "const"


@dataclass(frozen=True)
class Input:
    """One `side:name`; `column` is what is read from the data, "" for the sides feature and const."""

    side: str
    name: str
    column: str
    is_sequence: bool


@dataclass(frozen=True)
class Declared:
    """One feature of the config; `group` is the sequence_feature it is a member of."""

    kind: str
    config: Any
    name: str
    group: Any = None
    standalone_sequence: bool = False

    @property
    def tokens_as_sequence(self) -> bool:
        """Whether the tokens of one text are the elements of a sequence."""
        return self.kind == "tokenize_feature" and self.config.tokens_as_sequence

    @property
    def is_sequence(self) -> bool:
        """Whether rows hold elements."""
        return self.group is not None or self.standalone_sequence or self.tokens_as_sequence

    @property
    def sequence_length(self) -> int | None:
        """Elements kept, None for all."""
        return (self.config if self.group is None else self.group).sequence_length or None

    @property
    def delimiter(self) -> str:
        """Text between elements."""
        return (self.config if self.group is None else self.group).sequence_delim

    @property
    def separator(self) -> str:
        """Text between the values of one row or element."""
        return getattr(self.config, "separator", "\x1d")


def declared_features(feature_configs: Iterable[Any], settings: FeatureSettings) -> Iterator[Declared]:
    """Features in config order, the members of grouped sequences one by one."""
    for feature_config in feature_configs:
        member, config = which_feature(feature_config)
        if member == "sequence_feature":
            for inner in config.features:
                kind, sub = which_feature(inner)
                if kind:
                    name = f"{config.sequence_name}{settings.group_join}{sub.feature_name}"
                    yield Declared(kind, sub, name, group=config)
        elif member:
            kind = member.removeprefix("sequence_")
            yield Declared(kind, config, config.feature_name, standalone_sequence=kind != member)


def _expressions(declared: Declared) -> list[str]:
    texts: list[str] = []
    for field in KINDS[declared.kind].inputs:
        value = getattr(declared.config, field)
        texts += [value] if isinstance(value, str) else list(value)
    if declared.kind == "match_feature":
        texts = [text for text in texts if text != "ALL"]
    return texts


def _side_and_name(text: str, feature: str) -> tuple[str, str]:
    parts = text.split(":")
    if len(parts) != 2 or not parts[1]:
        raise ConfigError(f"feature {feature!r}: input {text!r} must be written side:name, such as user:{text or 'x'}")
    if parts[0] not in SIDES:
        near = difflib.get_close_matches(parts[0], SIDES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"feature {feature!r}: input {text!r}: the side must be one of {', '.join(SIDES)}{hint}")
    return parts[0], parts[1]


def _reads_sequence(declared: Declared, side: str, name: str) -> bool:
    if not declared.is_sequence or declared.tokens_as_sequence or side == CONSTANT:
        return False
    if declared.config.sequence_fields:
        return name in declared.config.sequence_fields
    if KINDS[declared.kind].single_input:
        return side != FROM_FEATURE
    return side == "item"


def raw_inputs(declared: Declared, settings: FeatureSettings) -> tuple[Input, ...]:
    """Inputs as written in the config, which feature generation reads.

    Raises:
        ConfigError: an input is not written side:name.
    """
    named = [_side_and_name(text, declared.name) for text in _expressions(declared)]
    marked = [_reads_sequence(declared, side, name) for side, name in named]
    # The custom operators of the compatible system split every column when no input is marked as a sequence.
    split_all = declared.kind == "custom_feature" and declared.is_sequence and not any(marked)
    inputs = []
    for (side, name), sequence in zip(named, marked, strict=True):
        column = "" if side in (FROM_FEATURE, CONSTANT) else name
        is_sequence = sequence or (split_all and column != "")
        if column and sequence and declared.group is not None:
            column = f"{declared.group.sequence_name}{settings.group_join}{name}"
        inputs.append(Input(side, name, column, is_sequence))
    return tuple(inputs)


def generated_here(mode: "data_pb2.FgMode") -> bool:
    """Whether features are made from raw inputs, rather than read from columns named like them."""
    return mode in (data_pb2.FG_NORMAL, data_pb2.FG_DAG)
