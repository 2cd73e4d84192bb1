"""Fields that the schema calls required, and those of them that may be left out as there is one choice."""

from collections.abc import Set

from google.protobuf.message import Message

from tzx.runtime.config.accessors import effective_fg_mode
from tzx.runtime.config.nodes import walk
from tzx.runtime.config.problems import Report
from tzx.runtime.config.schema import fields_of
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.protos import data_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

# Other checks know more about these: a path may come from a flag, a width is needed only where a table is,
# a rank only where a tower builds on others.
_ELSEWHERE = {"train_input_path", "eval_input_path", "model_dir", "embedding_dim", "low_rank_dim"}
_FEATURE_NAMES = {"feature_name", "sequence_name"}
# Numbers for which the zero that an unset field reads as makes sense; configs of the compatible system leave them out.
_MAY_BE_ZERO = {"output_dim", "num_hard_sample"}


def fill_in(config: EasyRecConfig) -> None:
    """Sequence encoders without an input read the only sequence group of their feature group, as in TorchEasyRec."""
    for group in config.model_config.feature_groups:
        if len(group.sequence_groups) != 1:
            continue
        for entry in group.sequence_encoders:
            encoder = getattr(entry, entry.WhichOneof("seq_module") or "", None)
            if encoder is not None and not encoder.HasField("input"):
                encoder.input = group.sequence_groups[0].group_name or group.group_name


def check_required(config: EasyRecConfig, places: SourceMap, report: Report, damaged: Set[Path]) -> None:
    """Report required fields that are missing.

    Missing is a warning where the value that is used instead makes sense, and no problem for the inputs of features
    whose finished values are read from the data: TorchEasyRec runs such configs.
    """
    finished = effective_fg_mode(config.data_config) in (data_pb2.FG_NONE, data_pb2.FG_BUCKETIZE)

    for node in walk(config):
        message, path = node.message, node.path
        in_feature = bool(path) and path[0] == "feature_configs"
        for name, spec in fields_of(message.DESCRIPTOR).items():
            if not spec.is_required or message.HasField(name) or name in _ELSEWHERE or (*path, name) in damaged:
                continue
            text = f'{message.DESCRIPTOR.name} needs "{name}"'
            if spec.has_default or name in _MAY_BE_ZERO:
                report.warn(places.name(path), f"{text}; without it {getattr_text(message, name)} is used")
            elif not (in_feature and finished and name not in _FEATURE_NAMES):
                report.error(places.name(path), text)


def getattr_text(message: Message, name: str) -> str:
    """The value an unset field reads as, the way a config would write it."""
    spec = fields_of(message.DESCRIPTOR)[name]
    value = getattr(message, name)
    if spec.enum is not None:
        return str(spec.enum.values_by_number[value].name)
    if spec.type == "float":
        return f"{value:.6g}"
    if spec.type == "bool":
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
