"""Rules about feature groups and the sequence encoders in them."""

from tzx.runtime.config.checks.context import Context, Node
from tzx.runtime.config.checks.facts import SEQUENCE_TOWERS, output_dim
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import quoted
from tzx.runtime.config.schema import fields_of
from tzx.runtime.protos import model_pb2

_FLAT = (model_pb2.DEEP, model_pb2.WIDE)


def _kind(group: Node) -> str:
    return str(model_pb2.FeatureGroupType.Name(group.message.group_type))


def _encoders(c: Context, group: Node) -> list[Node]:
    """Encoders of a group that are set, each as its own message."""
    found = []
    for node in c.children(group, "sequence_encoders"):
        member = node.message.WhichOneof("seq_module")
        if member:
            found.append(Node(getattr(node.message, member), (*node.path, member)))
    return found


def _sequence_names(c: Context, group: Node) -> list[str]:
    """Names of a group's sequence groups; a single one may take the group's name."""
    nodes = c.sequence_groups(group)
    if len(nodes) == 1 and not nodes[0].message.group_name:
        return [group.message.group_name]
    return [node.message.group_name for node in nodes]


@rule("feature_configs")
def unknown_feature_in_group(c: Context) -> None:
    """Groups list features that exist."""
    for group in c.groups:
        for node in (group, *c.sequence_groups(group)):
            for index, name in enumerate(node.message.feature_names):
                if c.find_feature(name) is None:
                    advice = c.hint(name, c.by_name)
                    c.error(
                        (*node.path, "feature_names", index),
                        f"no feature is called {quoted(name)}{advice}",
                    )


@rule("model_config")
def group_name_twice(c: Context) -> None:
    """Groups have names of their own."""
    for group in c.groups:
        first = c.group_by_name[group.message.group_name]
        if first.path != group.path and group.message.group_name:
            where = c.where((*first.path, "group_name"))
            path = (*group.path, "group_name")
            c.error(path, f"feature group {quoted(group.message.group_name)} exists already ({where})")


@rule("model_config")
def empty_group(c: Context) -> None:
    """Groups hold features."""
    for group in c.groups:
        if not group.message.feature_names and not group.message.sequence_groups:
            c.error(group.path, f"feature group {quoted(group.message.group_name)} lists no features")
        for node in c.sequence_groups(group):
            if not node.message.feature_names:
                c.error(node.path, "sequence group lists no features")


@rule("model_config")
def feature_twice_in_group(c: Context) -> None:
    """A group lists a feature once."""
    for group in c.groups:
        for node in (group, *c.sequence_groups(group)):
            names = list(node.message.feature_names)
            for index, name in enumerate(names):
                if name in names[:index]:
                    c.warn((*node.path, "feature_names", index), f"{quoted(name)} is in this group already")


@rule("feature_configs")
def sequence_in_flat_group(c: Context) -> None:
    """DEEP and WIDE groups are one vector a row; sequences go where an encoder reads them."""
    for group in c.groups:
        if group.message.group_type not in _FLAT:
            continue
        for index, name in enumerate(group.message.feature_names):
            feature = c.find_feature(name)
            if feature is not None and feature.is_sequence:
                advice = "move it into sequence_groups of this group, or make the group SEQUENCE"
                c.error(
                    (*group.path, "feature_names", index), f"{name} is a sequence in a {_kind(group)} group; {advice}"
                )


@rule("feature_configs")
def stub_feature_in_group(c: Context) -> None:
    """A stub feature only feeds other features."""
    for name, nodes in c.used.items():
        feature = c.find_feature(name)
        if feature is not None and feature.config.stub_type:
            path = (*nodes[0].path, "feature_names", list(nodes[0].message.feature_names).index(name))
            c.error(path, f"{name} has stub_type: true, so no group can use it")


@rule("feature_configs", "model_config")
def sequence_group_without_sequence(c: Context) -> None:
    """A sequence group holds at least one sequence."""
    for group in c.groups:
        for node in c.sequence_groups(group):
            known = c.members(node)
            if len(known) == len(node.message.feature_names) and known and not any(f.is_sequence for f in known):
                c.error(node.path, f"none of {', '.join(f.name for f in known)} is a sequence")


@rule("model_config")
def sequence_groups_misplaced(c: Context) -> None:
    """Sequence groups belong into DEEP groups, with encoders that read them."""
    for group in c.groups:
        if not group.message.sequence_groups:
            continue
        path = (*group.path, "sequence_groups", 0)
        if group.message.group_type != model_pb2.DEEP:
            c.error(path, f"sequence_groups are for DEEP groups; {quoted(group.message.group_name)} is {_kind(group)}")
        elif not group.message.sequence_encoders:
            c.error(path, "sequence_groups need sequence_encoders, which turn each sequence into one vector")


@rule("model_config")
def sequence_group_names(c: Context) -> None:
    """Encoders find sequence groups by name, so several need different ones."""
    for group in c.groups:
        nodes = c.sequence_groups(group)
        names = [node.message.group_name for node in nodes]
        for index, node in enumerate(nodes):
            if len(nodes) > 1 and not names[index]:
                c.error(node.path, "sequence group needs a group_name, because there are several")
            elif names[index] and names[index] in names[:index]:
                c.error((*node.path, "group_name"), f"sequence group {quoted(names[index])} exists already")


@rule("model_config")
def encoder_input(c: Context) -> None:
    """Encoders read sequence groups that exist, and each sequence group is read."""
    for group in c.groups:
        names = _sequence_names(c, group)
        encoders = _encoders(c, group)
        for encoder in encoders:
            name = encoder.message.input
            if name not in names:
                c.error((*encoder.path, "input"), f"no sequence group is called {quoted(name)}{c.hint(name, names)}")
        read = {encoder.message.input for encoder in encoders}
        for node, name in zip(c.sequence_groups(group), names, strict=True):
            if name and name not in read and encoders and read <= set(names):
                c.warn(node.path, f"no encoder reads sequence group {quoted(name)}")


@rule()
def encoder_options(c: Context) -> None:
    """Options of sequence encoders that depend on each other."""
    for node in c.of_type("SeqEncoderConfig"):
        if node.message.WhichOneof("seq_module") is None and not c.broken(node.path):
            c.error(node.path, f"no encoder is set; write one of {', '.join(fields_of(node.message.DESCRIPTOR))}")
    for node in c.of_type("PoolingEncoder"):
        if (value := node.message.pooling_type) not in ("mean", "sum"):
            c.error((*node.path, "pooling_type"), f'pooling_type must be "mean" or "sum", not {quoted(value)}')
    for node in c.of_type("SelfAttentionEncoder"):
        width, heads = node.message.multihead_attn_dim, node.message.num_heads
        if heads <= 0 or width % heads:
            path = (*node.path, "multihead_attn_dim")
            c.error(path, f"multihead_attn_dim {width} is not divisible by num_heads {heads}")


@rule("feature_configs", "model_config")
def attention_widths(c: Context) -> None:
    """Attention compares a query with sequence elements: not wider for DIN, equally wide for simple attention."""
    for group in c.groups:
        names = _sequence_names(c, group)
        sources = dict(zip(names, c.sequence_groups(group), strict=True))
        for encoder in _encoders(c, group):
            kind = encoder.message.DESCRIPTOR.name
            source = sources.get(encoder.message.input)
            if source is not None and kind in ("DINEncoder", "SimpleAttention"):
                _check_widths(c, source, encoder, kind)
    for tower in c.of_type(*SEQUENCE_TOWERS):
        source = c.group_by_name.get(tower.message.input)
        if source is not None and source.message.group_type == model_pb2.SEQUENCE:
            _check_widths(c, source, tower, tower.message.DESCRIPTOR.name)


def _check_widths(c: Context, source: Node, reader: Node, kind: str) -> None:
    members = c.members(source)
    if len(members) != len(source.message.feature_names):
        return
    query = [output_dim(f.kind, f.config, False) for f in members if not f.is_sequence]
    element = [output_dim(f.kind, f.config, True) for f in members if f.is_sequence]
    if None in query or None in element or not element:
        return
    width, other = sum(w or 0 for w in query), sum(w or 0 for w in element)
    path = (*reader.path, "input")
    if not query:
        c.error(
            path, f"{quoted(reader.message.input)} has no query: add the features that each element is compared with"
        )
    elif kind in ("DINEncoder", "DINTower", "BSTTower") and width > other:
        c.error(path, f"query of {quoted(reader.message.input)} is {width} wide, more than the {other} of an element")
    elif kind == "SimpleAttention" and width != other:
        c.error(
            path, f"query of {quoted(reader.message.input)} is {width} wide, an element {other}; they must be equal"
        )


@rule("feature_configs", "model_config", "data_config")
def mixed_data_groups(c: Context) -> None:
    """Features of sampled items and of rows have different lengths, so a group holds one kind."""
    sampler = c.data.WhichOneof("sampler")
    if sampler is None or c.data.force_base_data_group or sampler == "tdm_sampler":
        return
    sampled = set(getattr(c.data, sampler).attr_fields)
    for group in c.groups:
        kinds: dict[bool, str] = {}
        for feature in c.members(group):
            sides = {text.partition(":")[0] for text, _ in feature.inputs}
            if "feature" in sides:
                continue  # what it reads is decided by other features
            columns = {text.partition(":")[2] for text, _ in feature.inputs}
            if not c.generates_features:
                columns = {feature.name}
            kinds.setdefault(bool(columns & sampled), feature.name)
        if len(kinds) > 1:
            message = f"mixes {kinds[True]}, which the sampler fills, with {kinds[False]}, which it does not"
            c.error((*group.path, "feature_names", 0), f"feature group {quoted(group.message.group_name)} {message}")
