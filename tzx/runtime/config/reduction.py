"""A config with fewer features."""

from collections.abc import Collection, Iterator, Mapping

from google.protobuf.message import Message

from tzx.runtime.config.nodes import walk
from tzx.runtime.config.schema import fields_of
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

# Fields of a model by which losses, metrics and models read a feature outside of any group.
_KEYS = ("grouping_key", "session_name", "domain_input_name")


def reduce_features(config: EasyRecConfig, kept: Mapping[str, Collection[str]]) -> EasyRecConfig:
    """A copy whose feature groups list only some features, without the features that nothing reads any more.

    Args:
        config: a checked config.
        kept: features to keep by feature group; other groups stay as they are.
    """
    reduced = EasyRecConfig()
    reduced.CopyFrom(config)
    dropped = set()
    for group in reduced.model_config.feature_groups:
        if group.group_name in kept:
            names = list(group.feature_names)
            dropped |= set(names) - set(kept[group.group_name])
            group.feature_names[:] = [name for name in names if name in kept[group.group_name]]
    _remove(reduced, dropped - set(_read_by_model(reduced.model_config)))
    return reduced


def _read_by_model(model_config: Message) -> Iterator[str]:
    for node in walk(model_config):
        fields = fields_of(node.message.DESCRIPTOR)
        yield from getattr(node.message, "feature_names", ()) if "feature_names" in fields else ()
        yield from (getattr(node.message, key) for key in _KEYS if key in fields)


def _remove(config: EasyRecConfig, names: Collection[str]) -> None:
    """Remove features, but for those that another one is made of."""
    inputs = set(_feature_inputs(config, names))
    gone = set(names) - inputs
    for at in reversed(range(len(config.feature_configs))):
        feature = config.feature_configs[at]
        inner = _inner(feature)
        if feature.WhichOneof("feature") == "sequence_feature":
            members = [m for m in inner.features if f"{inner.sequence_name}__{_inner(m).feature_name}" not in gone]
            if not members:
                del config.feature_configs[at]
            elif len(members) < len(inner.features):
                copies = [type(member).FromString(member.SerializePartialToString()) for member in members]
                del inner.features[:]
                inner.features.extend(copies)
        elif inner.feature_name in gone:
            del config.feature_configs[at]


def _feature_inputs(config: EasyRecConfig, names: Collection[str]) -> Iterator[str]:
    """Features that the features outside of `names` are made of."""
    for feature in config.feature_configs:
        inner = _inner(feature)
        for one in inner.features if feature.WhichOneof("feature") == "sequence_feature" else [feature]:
            if _inner(one).feature_name in names:
                continue
            specs = fields_of(_inner(one).DESCRIPTOR)
            for field, value in _inner(one).ListFields():
                if specs[field.name].type == "string":
                    texts = value if specs[field.name].is_repeated else [value]
                    yield from (text.removeprefix("feature:") for text in texts if text.startswith("feature:"))


def _inner(feature: Message) -> Message:
    return getattr(feature, feature.WhichOneof("feature") or "")
