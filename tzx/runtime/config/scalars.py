"""From a written scalar to a value of a field's type; what is refused says what the field takes."""

import re

from tzx.runtime.config.problems import hint, quoted
from tzx.runtime.config.schema import FieldSpec
from tzx.runtime.config.syntax import Scalar

_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_BOOLS = dict.fromkeys(("true", "t", "1", "True"), True) | dict.fromkeys(("false", "f", "0", "False"), False)
_C_OCTAL = re.compile(r"(-?)0([0-9]+)$")
_SPECIAL_FLOAT = re.compile(r"(-?inf(?:inity)?|-?nan)f?$", re.IGNORECASE)


class Unfit(Exception):
    """A value that its field does not take; the text completes "FIELD takes ..."."""


def convert(spec: FieldSpec, node: Scalar) -> bool | int | float | str:
    """The value a scalar has in its field.

    Raises:
        Unfit: it has none.
    """
    if spec.type == "string":
        if node.kind == "string":
            return node.text
        raise Unfit(f"takes a string; write {quoted(node.text)}")
    if spec.type == "enum":
        return _enum(spec, node)
    if node.kind == "string":
        raise Unfit(f"takes {_wanted(spec)} without quotes, not {quoted(node.text)}")
    if spec.type == "bool":
        if node.text in _BOOLS:
            return _BOOLS[node.text]
    elif spec.type in _RANGES:
        return _integer(spec, node)
    elif (number := _float(node.text)) is not None:
        return number
    raise Unfit(f"takes {_wanted(spec)}, not {quoted(node.text)}")


def _integer(spec: FieldSpec, node: Scalar) -> int:
    octal = _C_OCTAL.match(node.text)
    text = f"{octal[1]}0o{octal[2]}" if octal else node.text
    try:
        number = int(text, 0)
    except ValueError:
        raise Unfit(f"takes {_wanted(spec)}, not {quoted(node.text)}") from None
    low, high = _RANGES[spec.type]
    if not low <= number <= high:
        raise Unfit(f"takes {_wanted(spec)} from {low} to {high}, not {quoted(node.text)}")
    return number


def _float(text: str) -> float | None:
    if re.match(r"-?0[0-9]", text):
        return None
    for candidate in (text, text.rstrip("fF")):
        try:
            return float(candidate)
        except ValueError:
            continue
    special = _SPECIAL_FLOAT.match(text)
    return float(special[1]) if special else None


def _enum(spec: FieldSpec, node: Scalar) -> int:
    assert spec.enum is not None
    try:
        number = int(node.text, 0)
    except ValueError:
        named = spec.enum.values_by_name.get(node.text)
    else:
        named = spec.enum.values_by_number.get(number)
    if named is None or node.kind == "string":
        names = list(spec.enum.values_by_name)
        if node.kind == "string" and node.text in names:
            raise Unfit(f"takes a {spec.enum.name} without quotes: {node.text}")
        raise Unfit(f"takes a {spec.enum.name}, not {quoted(node.text)}{hint(node.text, names)}")
    return named.number


def _wanted(spec: FieldSpec) -> str:
    if spec.type == "bool":
        return "true or false"
    return "a whole number" if spec.type in _RANGES else "a number"


def wanted(spec: FieldSpec) -> str:
    """What a field takes, in words."""
    if spec.message is not None:
        return "a block { ... }"
    if spec.type == "string":
        return "a string"
    return f"a {spec.enum.name}" if spec.enum is not None else _wanted(spec)
