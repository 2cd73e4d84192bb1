"""Questions about a parsed config that several floors ask in the same words."""

from google.protobuf.message import Message

from tzx.runtime.protos import data_pb2, feature_pb2


def which_feature(feature_config: Message) -> tuple[str, Message]:
    """The set member of a FeatureConfig or SeqFeatureConfig.

    Returns:
        Oneof member name, such as "id_feature" or "sequence_raw_feature", and its message. ("", an empty FeatureConfig)
        when no member is set.
    """
    member = feature_config.WhichOneof("feature")
    if member is None:
        return "", feature_pb2.FeatureConfig()
    return member, getattr(feature_config, member)


def effective_fg_mode(data_config: data_pb2.DataConfig) -> "data_pb2.FgMode":
    """fg_mode, or what the deprecated fg_encoded and fg_threads ask for when only those are given."""
    if data_config.HasField("fg_mode") or not data_config.HasField("fg_encoded"):
        return data_config.fg_mode
    if data_config.fg_encoded:
        return data_pb2.FG_NONE
    return data_pb2.FG_DAG if data_config.fg_threads > 0 else data_pb2.FG_NORMAL
