"""What Amazon's own descriptions of its services, which come with botocore, say against a request."""

import re
from typing import Any

import botocore.model
import botocore.session


def breaches(service: str, operation: str, params: dict[str, Any]) -> list[str]:
    """Every rule that the parameters break.

    botocore itself checks types and least lengths before it sends; the rest only the service does.
    """
    model = botocore.session.get_session().get_service_model(service)
    return _breaches(operation, model.operation_model(operation).input_shape, params)


def _breaches(path: str, shape: botocore.model.Shape, value: Any) -> list[str]:
    found = []
    if shape.type_name == "structure":
        missing = [name for name in shape.required_members if name not in value]
        unknown = [name for name in value if name not in shape.members]
        found += [
            f"{path}.{name}: {what}" for names, what in ((missing, "missing"), (unknown, "unknown")) for name in names
        ]
        for name in value.keys() & shape.members.keys():
            found += _breaches(f"{path}.{name}", shape.members[name], value[name])
    elif shape.type_name == "map":
        for key, inner in value.items():
            found += _breaches(f"{path} {key}", shape.key, key) + _breaches(f"{path}.{key}", shape.value, inner)
    elif shape.type_name == "list":
        found += [one for inner in value for one in _breaches(f"{path}[]", shape.member, inner)]
    rules, size = shape.metadata, value if isinstance(value, int) else len(value)
    if not rules.get("min", size) <= size <= rules.get("max", size):
        found.append(f"{path}: {size} is not from {rules.get('min')} to {rules.get('max')}")
    if "enum" in rules and value not in rules["enum"]:
        found.append(f"{path}: {value!r} is none of {rules['enum']}")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value, re.DOTALL):
        found.append(f"{path}: {value!r} does not match {rules['pattern']}")
    return found
