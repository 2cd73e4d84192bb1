"""Rules about what a model needs from its groups."""

from collections import Counter

from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.checks.context import Context, Node
from tzx.runtime.config.checks.facts import SEQUENCE_TOWERS, output_dim
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import listing, quoted
from tzx.runtime.config.schema import fields_of
from tzx.runtime.protos import model_pb2

# Groups that models without an entry in the catalog find by name, with the type that they must have.
_NAMED_GROUPS = {"DlrmHSTU": {"uih": "JAGGED_SEQUENCE", "candidate": "JAGGED_SEQUENCE"}}
# Models that see a row as vectors of one width, made of the groups `sparse` and `dense`.
_VECTOR_MODELS = ("DLRM", "WuKong", "AutoInt", "FiBiNET")
# Models whose fields name all the groups that they read.
_NAMING_INPUTS = ("MultiTower", "MultiTowerDIN", "BST", "DIEN", "SIM", "DSSM", "DSSMV2", "DAT", "MIND")
_INPUT_FIELDS = (
    "input", "history_input", "augment_input", "pair_feature_group", "pair_flag_feature_group", "gate_input",
)  # fmt: skip


@rule()
def model_missing(c: Context) -> None:
    """model_config says which model it is."""
    lost = any(path[:1] == ("model_config",) and len(path) == 2 for path in c.damaged)
    if c.model is None and not lost and ("model_config",) not in c.damaged:
        oneof = model_pb2.ModelConfig.DESCRIPTOR.oneofs_by_name["model"]
        names = [field.name for field in oneof.fields]
        if c.model_config.HasField("custom_model"):
            c.error(("model_config", "custom_model"), "custom_model is empty; write in it [package.Message] { ... }")
            return
        what = "model_config sets no model" if c.config.HasField("model_config") else "there is no model_config"
        c.error(("model_config",), f"{what}; write one of {listing(names, 8)}")


@rule("model_config")
def group_missing(c: Context) -> None:
    """Groups that the model finds by name are there and have the right type."""
    facts = CATALOG.get(c.model_name)
    for name, kind in (facts.required if facts else _NAMED_GROUPS.get(c.model_name, {})).items():
        group = c.group_by_name.get(name)
        assert c.model is not None
        if group is None:
            known = list(c.group_by_name)
            c.error(
                c.model.path, f"{c.model_name} needs a {kind} feature group called {quoted(name)}{c.hint(name, known)}"
            )
        elif (found := model_pb2.FeatureGroupType.Name(group.message.group_type)) != kind:
            c.error(
                (*group.path, "group_type"), f"{c.model_name} needs its group {quoted(name)} to be {kind}, not {found}"
            )
    if c.model is not None and not c.groups:
        c.error(c.model.path, f"{c.model_name} needs feature groups")


@rule("model_config")
def unknown_input_group(c: Context) -> None:
    """Towers read groups that exist, sequence towers sequence groups."""
    if c.model is None:
        return
    names = list(c.group_by_name)
    for node in c.messages:
        if node.path[:2] != c.model.path:
            continue
        for field in _INPUT_FIELDS:
            name = getattr(node.message, field, "") if field in fields_of(node.message.DESCRIPTOR) else ""
            if name and name not in c.group_by_name:
                c.error((*node.path, field), f"no feature group is called {quoted(name)}{c.hint(name, names)}")
    for tower in c.of_type(*SEQUENCE_TOWERS):
        group = c.group_by_name.get(tower.message.input)
        if group is not None and group.message.group_type != model_pb2.SEQUENCE:
            kind = model_pb2.FeatureGroupType.Name(group.message.group_type)
            name = SEQUENCE_TOWERS[tower.message.DESCRIPTOR.name]
            c.error((*tower.path, "input"), f"{name} reads a SEQUENCE group; {quoted(tower.message.input)} is {kind}")


@rule("model_config")
def unused_group(c: Context) -> None:
    """Models that name their inputs leave other groups unread."""
    if c.model_name not in _NAMING_INPUTS or c.model is None:
        return
    read = set()
    for node in c.messages:
        if node.path[:2] == c.model.path:
            read |= {getattr(node.message, f) for f in _INPUT_FIELDS if f in fields_of(node.message.DESCRIPTOR)}
    if read <= set(c.group_by_name):
        for name, group in c.group_by_name.items():
            if name not in read:
                c.warn((*group.path, "group_name"), f"no tower of {c.model_name} reads feature group {quoted(name)}")


def _dims(c: Context, group: Node) -> dict[str, int]:
    """Widths of a group's known features that the config fixes."""
    dims = {f.name: output_dim(f.kind, f.config, False) for f in c.members(group) if not f.is_sequence}
    return {name: dim for name, dim in dims.items() if dim is not None}


def _check_equal(c: Context, group: Node, dims: dict[str, int], why: str) -> None:
    """Report the first feature whose width is not the usual one."""
    if len(set(dims.values())) > 1:
        usual = Counter(dims.values()).most_common(1)[0][0]
        typical = next(name for name, dim in dims.items() if dim == usual)
        odd, width = next((name, dim) for name, dim in dims.items() if dim != usual)
        path = (*group.path, "feature_names", list(group.message.feature_names).index(odd))
        c.error(path, f"{why}, but {odd} is {width} wide and {typical} {usual}")


@rule("feature_configs", "model_config")
def unequal_dims(c: Context) -> None:
    """Models that multiply features with each other need them equally wide."""
    if c.model_name == "DeepFM":
        group = c.group_by_name.get("fm") or c.group_by_name.get("deep")
        if group is not None:
            why = f"DeepFM multiplies the features of {quoted(group.message.group_name)} with each other"
            _check_equal(c, group, _dims(c, group), why)
    elif c.model_name in _VECTOR_MODELS:
        group = c.group_by_name.get("sparse") or (c.groups[0] if len(c.groups) == 1 else None)
        if group is not None:
            _check_equal(c, group, _dims(c, group), f"{c.model_name} needs vectors of one width")


@rule("feature_configs", "model_config")
def dense_tower(c: Context) -> None:
    """Models of vectors bring numbers to the width of the embeddings by dense_mlp."""
    if c.model_name not in _VECTOR_MODELS or c.model is None:
        return
    sparse, dense = c.group_by_name.get("sparse"), c.group_by_name.get("dense")
    if len(c.groups) > 1 and sparse is None:
        c.error(c.model.path, f"{c.model_name} needs a group called sparse when there are several groups")
    if dense is None:
        return
    mlp = c.model.message.dense_mlp
    if not mlp.hidden_units:
        c.error((*c.model.path, "dense_mlp"), f"{c.model_name} has a group called dense, so it needs dense_mlp")
        return
    widths = set(_dims(c, sparse).values()) if sparse else set()
    if len(widths) == 1 and mlp.hidden_units[-1] not in widths:
        path = (*c.model.path, "dense_mlp", "hidden_units", len(mlp.hidden_units) - 1)
        c.error(path, f"dense_mlp ends with {mlp.hidden_units[-1]} units, but the embeddings are {widths.pop()} wide")


@rule()
def negatives_missing(c: Context) -> None:
    """Two-tower models learn by comparing with negatives."""
    if c.model is None or "in_batch_negative" not in c.model_fields:
        return
    in_batch = c.model.message.in_batch_negative
    path = (*c.model.path, "in_batch_negative")
    if c.model_name == "HSTUMatch" and in_batch:
        c.error(path, "HSTUMatch does not take in_batch_negative; use a negative sampler")
    elif not in_batch and c.data.WhichOneof("sampler") is None:
        c.warn(path, f"{c.model_name} has no negatives: set in_batch_negative: true or a sampler in data_config")


@rule("model_config")
def experts(c: Context) -> None:
    """Multi-task models have experts to share and layers to stack."""
    if c.model is None:
        return
    fields = c.model_fields
    if "num_expert" in fields and c.model.message.num_expert == 0:
        c.error((*c.model.path, "num_expert"), "num_expert is 0; it must be at least 1")
    if "task_towers" in fields and not c.model.message.task_towers:
        c.error(c.model.path, f"{c.model_name} needs task_towers, one for each label to predict")
    if c.model_name == "PLE" and not c.model.message.extraction_networks:
        c.error(c.model.path, "PLE needs extraction_networks")
