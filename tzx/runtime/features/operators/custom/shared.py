"""What the custom operators share: parameters, elements that line up, and texts compared one by one."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from google.protobuf import json_format

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.declared import Declared
from tzx.runtime.features.operators.base import layout_of
from tzx.runtime.features.ragged import Ragged, align, bad_slot, stretch
from tzx.runtime.features.reading import Layout


def parameters(declared: Declared) -> dict[str, Any]:
    """operator_params as plain Python values; numbers are floats."""
    return json_format.MessageToDict(declared.config.operator_params)


def text_parameter(given: dict[str, Any], *names: str) -> str:
    """A parameter that has to be there, under the first of these names that is given."""
    for name in names:
        if isinstance(given.get(name), str):
            return given[name]
    if any(name in given for name in names):
        raise ConfigError(f"operator_params: {names[0]} must be a text")
    near = difflib.get_close_matches(names[0], given, 1)
    hint = f"; did you mean it by {near[0]!r}?" if near else ""
    raise ConfigError(f"operator_params needs {names[0]}{hint}")


def whole_text(declared: Declared) -> Layout:
    """Layout of input that is not split into values."""
    return replace(layout_of(declared, drop_empty=True), separator=b"")


def align_elements(inputs: Sequence[Ragged], is_sequence: bool) -> list[Ragged]:
    """Inputs with the same slots; what has one element in a row goes with every element of the others."""
    return align(stretch(inputs), is_sequence)


def check_single(ragged: Ragged, operator: str) -> None:
    """Refuse slots with several values."""
    if len(ragged.lengths) and int(ragged.lengths.max()) > 1:
        every = np.flatnonzero(ragged.lengths > 1)
        slot = int(every[0])
        raise bad_slot(ragged, slot, f"{ragged.lengths[slot]} values where {operator} takes one", every)
