"""What there is to say about a model: a row of a table, a page, its smallest config. Fields come from the schema."""

import json
from collections.abc import Iterator
from textwrap import indent
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tzx.runtime.config.catalog import CATALOG, ModelFacts
from tzx.runtime.config.required import getattr_text
from tzx.runtime.config.schema import fields_of, type_name

# Messages whose fields every model has alike: described once, not with each model.
_FAMILIAR = ("MLP", "TaskTower", "BayesTaskTower", "InterventionTaskTower")
_FEATURES = {
    "user_id": 'id_feature { feature_name: "user_id" expression: "user:user_id" num_buckets: 10000 embedding_dim: 16 }',
    "age": 'raw_feature { feature_name: "age" expression: "user:age" }',
    "item_id": 'id_feature { feature_name: "item_id" expression: "item:item_id" num_buckets: 10000 embedding_dim: 16 }',
    "price": 'raw_feature { feature_name: "price" expression: "item:price" }',
    "clicks": """sequence_id_feature {
    feature_name: "clicks" expression: "user:clicks" sequence_length: 50 sequence_delim: ";"
    num_buckets: 10000 embedding_dim: 16 embedding_name: "item_id_emb"
  }""",
}
_MEMBERS = {
    "": ["user_id", "age", "item_id", "price"],
    "all": ["user_id", "age", "item_id", "price"],
    "user": ["user_id", "age"],
    "item": ["item_id", "price"],
    "history": ["item_id", "clicks"],
    "dense": ["age", "price"],
    "uia": ["user_id", "item_id"],
}
_PAGE = """train_input_path: "data/train/*.parquet"
eval_input_path: "data/eval/*.parquet"
model_dir: "runs/{member}"
train_config {{
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.05 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.001 }} constant_learning_rate {{}} }}
  num_epochs: 1
}}
data_config {{
  dataset_type: ParquetDataset
  batch_size: 1024
  fg_mode: FG_DAG
  label_fields: [{labels}]
}}
{features}
model_config {{
{model}
}}
"""
_TASK = """task_towers {{
  tower_name: "{name}"
  label_name: "{label}"
  mlp {{ hidden_units: [32] }}{relation}
  losses {{ binary_cross_entropy {{}} }}
  metrics {{ auc {{}} }}
}}"""


def smallest_config(facts: ModelFacts) -> str:
    """A complete config of the model: with files at its paths it trains."""
    groups = [group for group in facts.groups if not group.optional or group.shown]
    members = {group.name or "all": _MEMBERS.get(group.name, ["user_id", "item_id"]) for group in groups}
    used = [name for name in _FEATURES if any(name in names for names in members.values())]
    parts = [
        f'feature_groups {{ group_name: "{name}" feature_names: {json.dumps(names)} group_type: {group.type} }}'
        for (name, names), group in zip(members.items(), groups, strict=True)
    ]
    body, end = facts.body, ["losses { binary_cross_entropy {} }", "metrics { auc {} }"]
    if facts.is_multi_task:
        relation = indent(f"\n{facts.relation}", "  ") if facts.relation else ""
        towers = (("ctr", "click", ""), ("cvr", "buy", relation))
        tasks = [_TASK.format(name=name, label=label, relation=extra) for name, label, extra in towers]
        body, end = "\n".join(filter(None, (body, *tasks))), []
    parts += [f"{facts.field.name} {{\n{indent(body, '  ')}\n}}", *end]
    return _PAGE.format(
        member=facts.field.name,
        labels='"click", "buy"' if facts.is_multi_task else '"click"',
        features="\n".join(f"feature_configs {{\n  {_FEATURES[name]}\n}}" for name in used),
        model=indent("\n".join(parts), "  "),
    )


def describe(facts: ModelFacts, with_config: bool = False) -> str:
    """Lines about the model: groups, paper and fields, those of inner messages indented."""
    kind = "several tasks" if facts.is_multi_task else "one task"
    lines = [f"{facts.name}: model_config.{facts.field.name}, {kind}", f"  groups: {facts.group_text.replace('`', '')}"]
    lines += [f"  paper: {facts.paper}", "  fields:"]
    lines += [f"    {line}" for line in _field_lines(facts.field.message_type)]
    if with_config:
        lines += ["", "The smallest config:", "", smallest_config(facts).rstrip()]
    return "\n".join(lines)


def as_json(facts: ModelFacts) -> dict[str, Any]:
    """The same as values."""
    return {
        "name": facts.name,
        "member": facts.field.name,
        "groups": facts.group_text.replace("`", ""),
        "paper": facts.paper,
        "fields": _field_values(facts.field.message_type),
    }


def describe_own(descriptor: Descriptor) -> str:
    """Lines about a message of the user's own."""
    head = f"{descriptor.full_name}: model_config.custom_model, your own"
    return "\n".join([head, "  fields:", *(f"    {line}" for line in _field_lines(descriptor))])


def own_as_json(descriptor: Descriptor) -> dict[str, Any]:
    """The same as values."""
    return {"name": descriptor.full_name, "member": "custom_model", "fields": _field_values(descriptor)}


def markdown_table() -> str:
    """All models as the table in docs/models.md."""
    head = ["| `model_config` | class | feature groups | fields | paper |", "|---|---|---|---|---|"]
    rows = [
        f"| `{facts.field.name}` | {facts.name} | {facts.group_text} | {_field_words(facts)} | {facts.paper} |"
        for facts in CATALOG.values()
    ]
    return "\n".join([*head, *rows]) + "\n"


def _type(field: FieldDescriptor) -> str:
    spec = fields_of(field.containing_type)[field.name]
    inner = spec.message or spec.enum
    return str(inner.name) if inner is not None else spec.type


def _default(field: FieldDescriptor) -> str:
    """Default as a config would write it, "" where the schema gives none."""
    if not field.has_default_value:
        return ""
    return getattr_text(message_factory.GetMessageClass(field.containing_type)(), field.name)


def _inner(field: FieldDescriptor) -> Descriptor | None:
    """The message of a field, unless it is one that all models share, one of protobuf's, or inside itself."""
    message = field.message_type
    if message is None or type_name(message) in _FAMILIAR or message.file.package == "google.protobuf":
        return None
    return None if _leads_to(message, message, set()) else message


def _leads_to(start: Descriptor, wanted: Descriptor, seen: set[str]) -> bool:
    """Whether a message can stand inside another, at any depth."""
    inner = [field.message_type for field in start.fields if field.message_type is not None]
    new = [message for message in inner if message.full_name not in seen]
    seen.update(message.full_name for message in new)
    return wanted in inner or any(_leads_to(message, wanted, seen) for message in new)


def _label(field: FieldDescriptor) -> str:
    return "required " if field.is_required else "repeated " if field.is_repeated else ""


def _field_lines(descriptor: Descriptor) -> Iterator[str]:
    for field in descriptor.fields:
        default = _default(field)
        yield f"{field.name}: {_label(field)}{_type(field)}" + (f" = {default}" if default else "")
        if (inner := _inner(field)) is not None:
            yield from (f"  {line}" for line in _field_lines(inner))


def _field_values(descriptor: Descriptor) -> dict[str, Any]:
    found = {}
    for field in descriptor.fields:
        found[field.name] = {"type": _type(field), "label": _label(field).strip() or "optional"}
        if default := _default(field):
            found[field.name]["default"] = default
        if (inner := _inner(field)) is not None:
            found[field.name]["fields"] = _field_values(inner)  # type: ignore[assignment]
    return found


def _field_words(facts: ModelFacts) -> str:
    words = []
    for field in facts.field.message_type.fields:
        optional = field.message_type is not None and not field.is_required and not field.is_repeated
        words.append(f"{'optional ' if optional else ''}`{_nested(field)}`")
    return ", ".join(words)


def _nested(field: FieldDescriptor) -> str:
    default, inner = _default(field).strip('"'), _inner(field)
    text = f"{field.name} ({default})" if default else str(field.name)
    return text if inner is None else f"{text} {{ {' '.join(_nested(f) for f in inner.fields)} }}"
