"""Rules about single features."""

from tzx.runtime.config.checks.context import Context, FeatureView
from tzx.runtime.config.checks.facts import bucketizers
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import hint, listing, quoted
from tzx.runtime.config.schema import fields_of
from tzx.runtime.protos import data_pb2

_SIDES = ("user", "item", "context", "feature", "const")
_COMBINERS = ("sum", "mean", "avg", "min", "max", "count", "gap_min", "gap_max", "")
_OVERLAPS = (
    "query_common_ratio", "title_common_ratio", "is_contain", "is_equal", "index_of",
    "proximity_min_cover", "proximity_min_dist", "proximity_max_dist", "proximity_avg_dist",
)  # fmt: skip
_NORMALIZERS: dict[str, tuple[str, ...]] = {
    "log10": (),
    "zscore": ("mean", "standard_deviation"),
    "minmax": ("min", "max"),
    "expression": ("expr",),
}
_NORMALIZER_OPTIONS = {
    "log10": ("threshold", "default"),
    "zscore": ("mean", "standard_deviation"),
    "minmax": ("min", "max"),
}


@rule()
def feature_without_member(c: Context) -> None:
    """Each feature_configs entry holds one feature."""
    for node in c.of_type("FeatureConfig", "SeqFeatureConfig"):
        if node.message.WhichOneof("feature") is None and not c.broken(node.path):
            names = [name for name in fields_of(node.message.DESCRIPTOR) if not name.startswith("sequence_")]
            c.error(node.path, f"no feature is set; write one of {listing(names, 12)}")


@rule("feature_configs")
def feature_name_twice(c: Context) -> None:
    """Features have names of their own."""
    for feature in c.features:
        first = c.by_name[feature.name]
        if first is not feature and feature.name:
            path = (*feature.path, "feature_name")
            c.error(path, f"feature {quoted(feature.name)} exists already ({c.where((*first.path, 'feature_name'))})")


@rule()
def several_bucketizers(c: Context) -> None:
    """A feature makes its ids in one way."""
    for feature in c.features:
        names = bucketizers(feature.kind, feature.config)
        if len(names) > 1:
            path = (*feature.path, names[1])
            if not c.places.written(path):
                path = (*path, 0)
            c.error(path, f"{feature.name} sets {' and '.join(names)}; a feature takes one of them")


@rule("feature_configs", "model_config")
def ids_without_bucketizer(c: Context) -> None:
    """A feature of ids says how many rows its table has."""
    for feature in c.features:
        needs = feature.is_sparse and feature.kind != "tokenize_feature" and not feature.config.stub_type
        if (
            needs
            and feature.name in c.used
            and not bucketizers(feature.kind, feature.config)
            and not c.broken(feature.path)
        ):
            names = fields_of(feature.config.DESCRIPTOR)
            options = [
                name for name in ("num_buckets", "hash_bucket_size", "vocab_list", "vocab_file") if name in names
            ]
            c.error(feature.path, f"{feature.name} yields ids but sets none of {', '.join(options)} ...")


def _side_problem(text: str, c: Context) -> str | None:
    side, colon, name = text.partition(":")
    if not colon or not name or ":" in name:
        return f"input {quoted(text)} is not written side:name, such as user:{(name or text).rpartition(':')[2]}"
    if side not in _SIDES:
        return f"side {quoted(side)} of {quoted(text)} is not known{c.hint(side, _SIDES)}"
    if side in ("feature", "const") and c.fg_mode == data_pb2.FG_NORMAL:
        return f"{quoted(text)} needs fg_mode FG_DAG"
    if side == "feature" and c.find_feature(name) is None:
        return f"no feature is called {quoted(name)}{c.hint(name, c.by_name)}"
    return None


@rule("feature_configs")
def input_side(c: Context) -> None:
    """Inputs are written side:name."""
    for feature in c.features:
        for text, path in feature.inputs:
            if problem := _side_problem(text, c):
                c.fg_error(path, problem)


@rule()
def separators(c: Context) -> None:
    """Separators are not empty, and those of one feature differ."""
    for feature in c.features:
        holder = feature.group if feature.group is not None else feature.config
        path = feature.path[:3] if feature.group is not None else feature.path
        own = "separator" in fields_of(feature.config.DESCRIPTOR)
        if own and not feature.config.separator:
            c.fg_error((*feature.path, "separator"), f"{feature.name}: separator is empty")
        if feature.is_sequence and not holder.sequence_delim:
            c.error((*path, "sequence_delim"), f"{feature.name}: sequence_delim is empty")
        elif feature.is_sequence:
            _check_equal_separators(c, feature, holder.sequence_delim)


def _check_equal_separators(c: Context, feature: FeatureView, delimiter: str) -> None:
    inner = c.data.fg_encoded_multival_sep
    if c.generates_features:
        inner = getattr(feature.config, "separator", "")
    if delimiter == inner:
        c.warn(
            feature.path, f"{feature.name}: {quoted(delimiter)} separates both elements and the values of an element"
        )


@rule()
def normalizer_syntax(c: Context) -> None:
    """Normalizers read `method=NAME,key=value`."""
    for feature in c.features:
        text = getattr(feature.config, "normalizer", "")
        if text and (problem := _normalizer_problem(text)):
            c.fg_error((*feature.path, "normalizer"), f"normalizer {quoted(text)}: {problem}")


def _normalizer_problem(text: str) -> str | None:
    head, _, rest = text.partition(",")
    key, _, method = (part.strip() for part in head.partition("="))
    if key != "method" or method not in _NORMALIZERS:
        return f"begin with method=NAME; methods are {', '.join(_NORMALIZERS)}"
    if method == "expression":
        return None if rest.strip().startswith("expr=") else "expression needs expr=..."
    parts = (part.partition("=") for part in rest.split(",") if part.strip())
    options = {name.strip(): value.strip() for name, _, value in parts}
    for name in options:
        if name not in _NORMALIZER_OPTIONS[method]:
            return f"{method} has no option {quoted(name)}{hint(name, _NORMALIZER_OPTIONS[method])}"
    for name in _NORMALIZERS[method]:
        if name not in options:
            return f"{method} needs {name}=..."
    return _number_problem(method, options)


def _number_problem(method: str, options: dict[str, str]) -> str | None:
    numbers = {}
    for name, value in options.items():
        try:
            numbers[name] = float(value)
        except ValueError:
            return f"{name} must be a number, not {quoted(value)}"
    if numbers.get("standard_deviation") == 0:
        return "standard_deviation is 0"
    if method == "minmax" and numbers["min"] == numbers["max"]:
        return "min and max are equal"
    return None


@rule()
def combiner_values(c: Context) -> None:
    """Ways to combine several values into one."""
    for feature in c.features:
        if "combiner" in fields_of(feature.config.DESCRIPTOR) and (value := feature.config.combiner) not in _COMBINERS:
            c.fg_error(
                (*feature.path, "combiner"), f"combiner {quoted(value)} is not known{c.hint(value, _COMBINERS[:-1])}"
            )


@rule()
def overlap_method(c: Context) -> None:
    """Methods of overlap_feature."""
    for feature in c.features:
        if feature.kind == "overlap_feature" and (value := feature.config.method) not in _OVERLAPS and value:
            c.fg_error((*feature.path, "method"), f"method {quoted(value)} is not known{c.hint(value, _OVERLAPS)}")


@rule()
def tokenizer_options(c: Context) -> None:
    """Tokenizers come in two kinds, and work on text, not on what a tokenizer made of it before."""
    for feature in c.features:
        if feature.kind != "tokenize_feature":
            continue
        if (value := feature.config.tokenizer_type) not in ("bpe", "sentencepiece"):
            path = (*feature.path, "tokenizer_type")
            c.error(path, f'tokenizer_type must be "bpe" or "sentencepiece", not {quoted(value)}')
        if feature.config.tokens_as_sequence and c.fg_mode == data_pb2.FG_BUCKETIZE:
            c.error((*feature.path, "tokens_as_sequence"), "tokens_as_sequence does not work in fg_mode FG_BUCKETIZE")


@rule("data_config")
def weighted_ids(c: Context) -> None:
    """Weighted ids come as `id:weight` or as a map, never as plain integers."""
    types = {field.input_name: field.input_type for field in c.data.input_fields if field.HasField("input_type")}
    plain = {data_pb2.INT32, data_pb2.INT64}
    for feature in c.features:
        if not getattr(feature.config, "weighted", False):
            continue
        column = feature.config.expression.partition(":")[2] if c.generates_features else feature.name
        path = (*feature.path, "weighted")
        if types.get(column) in plain:
            c.error(path, f"{feature.name} is weighted, but its column {quoted(column)} holds integers without weights")
        if feature.is_sequence:
            c.warn(path, f"{feature.name} is a sequence; its weights are not used")


@rule()
def fill_value(c: Context) -> None:
    """fg_encoded_default_value holds ids for a sparse feature and value_dim floats for a dense one."""
    if c.fg_mode != data_pb2.FG_NONE:
        return
    for feature in c.features:
        text = feature.config.fg_encoded_default_value
        if text and (problem := _fill_problem(text.split(c.data.fg_encoded_multival_sep or "\x03"), feature)):
            c.error((*feature.path, "fg_encoded_default_value"), f"fg_encoded_default_value {quoted(text)}: {problem}")


def _fill_problem(parts: list[str], feature: FeatureView) -> str | None:
    wanted, read = ("whole numbers", int) if feature.is_sparse else ("numbers", float)
    try:
        for part in parts:
            read(part)  # type: ignore[operator]
    except ValueError:
        return f"{feature.name} takes {wanted}"
    width = getattr(feature.config, "value_dim", 1) or len(parts)
    if not feature.is_sparse and len(parts) != width:
        return f"{len(parts)} values for a value_dim of {width}"
    return None


@rule("feature_configs", "model_config")
def unused_features(c: Context) -> None:
    """Features in no group cost time and do nothing."""
    read = {text.partition(":")[2] for f in c.features for text, _ in f.inputs if text.startswith("feature:")}
    for node in c.of_type("GroupedAUC", "GroupedXAUC"):
        read.add(node.message.grouping_key)
    read.update(node.message.session_name for node in c.of_type("JRCLoss"))
    groups = {id(view) for name in c.used if (view := c.find_feature(name))}
    idle = [f for f in c.features if id(f) not in groups and f.name not in read and not f.config.stub_type]
    if idle and c.groups:
        noun = "features are" if len(idle) > 1 else "feature is"
        c.warn(idle[0].path, f"{len(idle)} {noun} in no feature group: {listing([f.name for f in idle])}")
