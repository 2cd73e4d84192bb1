"""What a config amounts to, in a few lines."""

from collections import Counter
from dataclasses import dataclass

from tzx.runtime.config.checks.context import Context, FeatureView, Node
from tzx.runtime.config.checks.facts import table_rows
from tzx.runtime.config.problems import Report, listing
from tzx.runtime.config.sourcemap import SourceMap
from tzx.runtime.protos import data_pb2, model_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


@dataclass(frozen=True)
class Table:
    """One embedding table; `rows` is None when only a vocabulary file knows."""

    rows: int | None
    dim: int
    bytes_per_value: int


def tables_of(config: EasyRecConfig) -> dict[str, Table]:
    """Embedding tables by name, as the feature groups make them."""
    c = Context(config, SourceMap(), Report(), set())
    found: dict[str, Table] = {}
    for group in c.groups:
        suffix = group.message.embedding_name_suffix
        is_wide = group.message.group_type == model_pb2.WIDE
        for feature in c.members(group):
            _add(found, feature, suffix, _wide_dim(c) if is_wide else None)
        for node in c.sequence_groups(group):
            for feature in c.members(node):
                _add(found, feature, node.message.embedding_name_suffix or suffix, None)
    return found


def _wide_dim(c: Context) -> int:
    return getattr(c.model.message, "wide_embedding_dim", 0) or 4 if c.model else 4


def _add(found: dict[str, Table], feature: FeatureView, suffix: str, wide_dim: int | None) -> None:
    if feature.is_sparse:
        name = feature.table + ("_wide" if wide_dim is not None else "") + (f"_{suffix}" if suffix else "")
        dim = feature.config.embedding_dim if wide_dim is None else wide_dim
        size = 2 if feature.config.data_type == "FP16" else 4
        found.setdefault(name, Table(table_rows(feature.kind, feature.config), dim, size))


def summarize(config: EasyRecConfig) -> str:
    """Model, features, groups, tables and training of a config, one line each."""
    c = Context(config, SourceMap(), Report(), set())
    lines = {
        "model": _model_line(c),
        "features": _feature_line(c),
        "groups": ", ".join(_group_text(node) for node in c.groups[:8]) + (", ..." if len(c.groups) > 8 else ""),
        "tables": _table_line(tables_of(config)),
        "data": _data_line(c),
        "training": _training_line(c),
    }
    return "\n".join(f"  {name:<9} {text}" for name, text in lines.items() if text)


def _model_line(c: Context) -> str:
    tasks = []
    for task in c.tasks:
        losses = [loss.WhichOneof("loss") or loss.WhichOneof("sid_loss") or "" for loss in task.message.losses]
        metrics = [metric.WhichOneof("metric") or "" for metric in task.message.metrics]
        name = getattr(task.message, "tower_name", "") or getattr(task.message, "task_name", "")
        parts = [listing(losses), f"measured by {listing(metrics)}" if metrics else ""]
        tasks.append(" ".join([f"{name}:" if name else "", ", ".join(filter(None, parts))]).strip())
    return f"{c.model_name}; " + "; ".join(tasks)


def _feature_line(c: Context) -> str:
    counts = Counter("sparse" if feature.is_sparse else "dense" for feature in c.features)
    text = f"{len(c.features)} ({', '.join(f'{count} {kind}' for kind, count in sorted(counts.items(), reverse=True))})"
    if in_sequences := sum(feature.is_sequence for feature in c.features):
        text += f", {in_sequences} of them in sequences"
    return f"{text}; {data_pb2.FgMode.Name(c.fg_mode)}"


def _group_text(node: Node) -> str:
    kind = model_pb2.FeatureGroupType.Name(node.message.group_type)
    inner = f" + {len(node.message.sequence_groups)} sequences" if node.message.sequence_groups else ""
    return f"{node.message.group_name} ({kind} {len(node.message.feature_names)}{inner})"


def _table_line(tables: dict[str, Table]) -> str:
    known = [table for table in tables.values() if table.rows is not None]
    rows = sum(table.rows or 0 for table in known)
    parameters = sum((table.rows or 0) * table.dim for table in known)
    size = sum((table.rows or 0) * table.dim * table.bytes_per_value for table in known)
    text = f"{len(tables)} with {rows:,} rows, {_short(parameters)} embedding parameters ({_bytes(size)})"
    unknown = len(tables) - len(known)
    return text + (f", and {unknown} whose rows a file decides" if unknown else "")


def _data_line(c: Context) -> str:
    labels = f"; labels {listing(c.data.label_fields)}" if c.data.label_fields else ""
    return f"{data_pb2.DatasetType.Name(c.data.dataset_type)}, batches of {c.data.batch_size}{labels}"


def _training_line(c: Context) -> str:
    if not c.config.HasField("train_config"):
        return ""
    count, noun = (c.train.num_steps, "step") if c.train.num_steps else (c.train.num_epochs, "epoch")
    length = f"{count:,} {noun}{'s' if count != 1 else ''}"
    sparse = c.train.sparse_optimizer.WhichOneof("optimizer") or ""
    dense = c.train.dense_optimizer.WhichOneof("optimizer") or ""
    return f"{length}; tables by {sparse.removesuffix('_optimizer')}, the rest by {dense.removesuffix('_optimizer')}"


def _short(number: float) -> str:
    for unit in ("", " thousand", " million", " billion"):
        if number < 1000:
            return f"{number:.4g}{unit}"
        number /= 1000
    return f"{number:.4g} trillion"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
