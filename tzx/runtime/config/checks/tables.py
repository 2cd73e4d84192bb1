"""Rules about vocabularies, boundaries and embedding tables."""

import ast

from tzx.runtime.config.checks.context import Context, FeatureView
from tzx.runtime.config.checks.facts import bucketizers, given, table_rows
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import hint, quoted
from tzx.runtime.config.schema import fields_of
from tzx.runtime.config.sourcemap import Path
from tzx.runtime.protos import model_pb2

_SHARDINGS = (
    "data_parallel", "table_wise", "column_wise", "row_wise", "table_row_wise", "table_column_wise", "grid_shard",
)  # fmt: skip
_KERNELS = ("dense", "fused", "fused_uvm", "fused_uvm_caching", "key_value")
_INITIALIZERS = (
    "constant_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_", "trunc_normal_",
    "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
)  # fmt: skip


@rule()
def default_bucketize_range(c: Context) -> None:
    """The index of unknown values is a row of the table."""
    for feature in c.features:
        if not given(feature.config, "default_bucketize_value"):
            continue
        path = (*feature.path, "default_bucketize_value")
        rows = table_rows(feature.kind, feature.config)
        index = feature.config.default_bucketize_value
        names = bucketizers(feature.kind, feature.config)
        if rows is not None and index >= rows and names[0] in ("vocab_list", "vocab_dict"):
            c.error(
                path, f"default_bucketize_value {index} is outside the {rows} rows that {names[0]} gives {feature.name}"
            )
        elif names and not names[0].startswith("vocab"):
            c.warn(path, f"default_bucketize_value has no effect with {names[0]}")


@rule()
def vocab_file_default(c: Context) -> None:
    """Words that are not in a vocabulary file need an index."""
    for feature in c.features:
        names = bucketizers(feature.kind, feature.config)
        if "vocab_file" in names and not given(feature.config, "default_bucketize_value"):
            path = (*feature.path, "vocab_file")
            c.error(path, f"{feature.name}: vocab_file needs default_bucketize_value, the index of unknown words")


@rule()
def vocabulary_repeats(c: Context) -> None:
    """Words stand once in a vocabulary, and a dictionary leaves room for default and unknown."""
    for feature in c.features:
        words = list(getattr(feature.config, "vocab_list", ()))
        seen: set[str] = set()
        for index, word in enumerate(words):
            if word in seen:
                path = (*feature.path, "vocab_list", index)
                c.warn(path, f"{feature.name}: vocab_list has {quoted(word)} twice; the last position counts")
            seen.add(word)
        indexes = getattr(feature.config, "vocab_dict", {})
        if indexes and min(indexes.values()) <= 1 and not given(feature.config, "default_bucketize_value"):
            word = min(indexes, key=lambda key: indexes[key])
            message = (
                f"{feature.name}: index {indexes[word]} of {quoted(word)} collides with 0 (default) or 1 (unknown)"
            )
            c.warn((*feature.path, "vocab_dict", word), message)


@rule()
def boundaries_rise(c: Context) -> None:
    """Boundaries rise from one to the next."""
    for feature in c.features:
        edges = list(getattr(feature.config, "boundaries", ()))
        for index in range(1, len(edges)):
            if not edges[index] > edges[index - 1]:
                message = f"boundaries must rise, but {edges[index]:.6g} follows {edges[index - 1]:.6g}"
                c.error((*feature.path, "boundaries", index), f"{feature.name}: {message}")
                break


@rule()
def bucket_count_zero(c: Context) -> None:
    """A table has rows."""
    for feature in c.features:
        for name in ("hash_bucket_size", "num_buckets"):
            if given(feature.config, name) and getattr(feature.config, name) == 0:
                c.error((*feature.path, name), f"{feature.name}: {name} is 0; it must be at least 1")


def _needs_own_table(c: Context, feature: FeatureView) -> bool:
    """Whether some group other than a wide one looks the feature up."""
    nodes = c.used.get(feature.name, [])
    return any(getattr(node.message, "group_type", model_pb2.DEEP) != model_pb2.WIDE for node in nodes)


@rule("feature_configs", "model_config")
def embedding_dim_missing(c: Context) -> None:
    """A feature that is embedded says how wide."""
    for feature in c.features:
        dense = "dense_emb" in feature.config.DESCRIPTOR.oneofs_by_name and feature.config.WhichOneof("dense_emb")
        if (feature.is_sparse or dense) and not feature.config.embedding_dim and _needs_own_table(c, feature):
            c.error((*feature.path, "embedding_dim"), f"{feature.name} needs embedding_dim, the width of its embedding")


@rule()
def embedding_dim_alignment(c: Context) -> None:
    """Tables are fastest, and on GPU only possible, with rows of a multiple of 4 floats."""
    for feature in c.features:
        if feature.is_sparse and feature.config.embedding_dim % 4:
            path = (*feature.path, "embedding_dim")
            c.warn(path, f"{feature.name}: embedding_dim {feature.config.embedding_dim} is not a multiple of 4")


@rule()
def dense_embedding(c: Context) -> None:
    """autodis and mlp embed numbers; autodis takes a single one."""
    for feature in c.features:
        if "dense_emb" not in feature.config.DESCRIPTOR.oneofs_by_name:
            continue
        member = feature.config.WhichOneof("dense_emb")
        if member and feature.is_sparse:
            c.warn((*feature.path, member), f"{feature.name} yields ids, so {member} has no effect")
        elif member and feature.is_sequence:
            c.warn((*feature.path, member), f"{feature.name} is a sequence of numbers, so {member} has no effect")
        elif member == "autodis" and getattr(feature.config, "value_dim", 1) > 1:
            path = (*feature.path, "autodis")
            c.error(path, f"{feature.name}: autodis takes one number, but value_dim is {feature.config.value_dim}")


@rule("feature_configs", "model_config")
def shared_table_differs(c: Context) -> None:
    """Features of one table agree on its shape and how it begins."""
    owners: dict[str, FeatureView] = {}
    for feature in c.features:
        if not feature.is_sparse or not _needs_own_table(c, feature):
            continue
        owner = owners.setdefault(feature.table, feature)
        if owner is feature:
            continue
        where = c.where((*owner.path, "embedding_name") if owner.config.embedding_name else owner.path)
        for name, mine, other in _differences(feature, owner):
            what = f"{name} is {mine} here and {other} in {owner.name} ({where})"
            report = c.warn if name in ("trainable", "data_type") else c.error
            path: Path = (*feature.path, name if name != "rows" else "embedding_name")
            report(path, f"features of table {quoted(feature.table)} must agree: {what}")


def _differences(a: FeatureView, b: FeatureView) -> list[tuple[str, object, object]]:
    rows = (table_rows(a.kind, a.config), table_rows(b.kind, b.config))
    found: list[tuple[str, object, object]] = []
    if None not in rows and rows[0] != rows[1]:
        found.append(("rows", *rows))
    for name in ("embedding_dim", "pooling", "init_fn", "data_type", "trainable"):
        if name == "pooling" and (a.is_sequence or b.is_sequence):
            continue
        mine, other = getattr(a.config, name), getattr(b.config, name)
        if mine != other and not (name == "embedding_dim" and 0 in (mine, other)):
            found.append((name, _shown(mine), _shown(other)))
    return found


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else value


@rule()
def pooling_values(c: Context) -> None:
    """Bags are pooled by sum or mean."""
    for feature in c.features:
        if (value := feature.config.pooling) not in ("sum", "mean"):
            c.error((*feature.path, "pooling"), f'pooling must be "sum" or "mean", not {quoted(value)}')


@rule()
def data_type_values(c: Context) -> None:
    """Tables hold float32 or float16."""
    for feature in c.features:
        if (value := feature.config.data_type) not in ("FP32", "FP16"):
            c.error((*feature.path, "data_type"), f'data_type must be "FP32" or "FP16", not {quoted(value)}')


@rule()
def init_fn_syntax(c: Context) -> None:
    """init_fn is a function of nn.init and its arguments by name."""
    for node in c.messages:
        for field in ("init_fn", "wide_init_fn"):
            text = getattr(node.message, field, "") if field in fields_of(node.message.DESCRIPTOR) else ""
            if text and (problem := _init_problem(text)):
                c.error((*node.path, field), f"{field} {quoted(text)}: {problem}")


def _init_problem(text: str) -> str | None:
    name, _, arguments = text.partition(",")
    plain = name.strip().removeprefix("torch.").removeprefix("nn.init.")
    if plain not in _INITIALIZERS or plain == name.strip():
        known = [f"nn.init.{known}" for known in _INITIALIZERS]
        return f"{quoted(name.strip())} is not known{hint(name.strip(), known)}"
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        assert isinstance(call, ast.Call)
        for keyword in call.keywords:
            ast.literal_eval(keyword.value)
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError):
        return "arguments must be plain values by name, such as nn.init.uniform_,a=-0.01,b=0.01"
    return "arguments must be given by name, such as a=-0.01" if call.args else None


@rule()
def sharding_constraints(c: Context) -> None:
    """Sharding types and kernels that the planner knows."""
    for node in c.of_type("ParameterConstraints"):
        for field, known in (("sharding_types", _SHARDINGS), ("compute_kernels", _KERNELS)):
            for index, value in enumerate(getattr(node.message, field)):
                if value not in known:
                    c.error((*node.path, field, index), f"{field}: {quoted(value)} is not known{c.hint(value, known)}")
