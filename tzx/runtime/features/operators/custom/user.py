"""Operators of the user's own: a Python class over Arrow arrays, joined through `register_operator`."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyarrow as pa

from tzx.runtime.errors import ConfigError, TzxError
from tzx.runtime.features import kinds
from tzx.runtime.features.arrow import WrongType
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.operators.base import layout_of, normalized
from tzx.runtime.features.operators.custom.shared import align_elements, check_single, parameters, whole_text
from tzx.runtime.features.ragged import BadValue, Ragged, head_values
from tzx.runtime.features.reading import Layout, read
from tzx.runtime.features.texts import list_per_slot, one_per_slot

ROW_OF_ARRAY = Layout(separator=b"", drop_empty=True)


class CustomOperator(ABC):
    """Base class of an operator that a custom_feature names.

    It is called with whole batches, and must treat every place of the arrays on its own.

    Args:
        params: operator_params of the config.
        inputs: names of the inputs, in their order.
    """

    # Split text by `separator` and hand over lists; otherwise text is handed over as it is.
    lists: ClassVar[bool] = False

    def __init__(self, params: Mapping[str, Any], inputs: Sequence[str]) -> None:
        self.params, self.inputs = params, tuple(inputs)

    @abstractmethod
    def __call__(self, *arrays: pa.Array) -> pa.Array:
        """One value or list per place; null for missing, which gets default_value.

        Args:
            arrays: one per input, of equal lengths: large_string, int64, float or double, or large_list of these. A
                place is a row, or an element of a sequence; null where the input is missing.
        """


_CLASSES: dict[str, type[CustomOperator]] = {}


def register_operator(name: str, cls: type[CustomOperator]) -> None:
    """Let `cls` be the operator called `name`, also in place of one that comes with tzx.

    Args:
        name: what `operator_name` says in a config.
        cls: a subclass of CustomOperator.

    Raises:
        ConfigError: `cls` is no CustomOperator.
    """
    if not (isinstance(cls, type) and issubclass(cls, CustomOperator)):
        raise ConfigError(
            f"register_operator({name!r}): {cls!r} is not a subclass of tzx.runtime.features.CustomOperator"
        )
    _CLASSES[name] = cls


def registered(name: str) -> type[CustomOperator] | None:
    """The user's class of this name."""
    return _CLASSES.get(name)


def registered_names() -> list[str]:
    """Names of the user's operators."""
    return sorted(_CLASSES)


@dataclass(frozen=True)
class UserOperator:
    """Hands slots to `call` as arrays and reads what it returns."""

    layouts: tuple[Layout, ...]
    name: str
    call: CustomOperator
    is_sequence: bool
    value_dim: int
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Values that the user's class returns."""
        aligned = align_elements(inputs, self.is_sequence)
        made = self._made([self._array(ragged) for ragged in aligned], aligned[0])
        return normalized(head_values(made, self.value_dim), self.normalizer)

    def _array(self, ragged: Ragged) -> pa.Array:
        if self.call.lists:
            return list_per_slot(ragged)
        check_single(ragged, self.name)
        return one_per_slot(ragged)

    def _made(self, arrays: Sequence[pa.Array], like: Ragged) -> Ragged:
        size = len(like.lengths)
        try:
            result = self.call(*arrays)
        except TzxError:
            raise
        except Exception as error:
            logging.getLogger("tzx").debug("operator %s failed", self.name, exc_info=True)
            raise BadValue(like.column, None, f"operator {self.name}: {type(error).__name__}: {error}") from error
        if not isinstance(result, (pa.Array, pa.ChunkedArray)) or len(result) != size:
            given = f"{len(result)} values" if isinstance(result, (pa.Array, pa.ChunkedArray)) else repr(type(result))
            raise BadValue(
                like.column, None, f"operator {self.name} returned {given}; an Arrow array of {size} is needed"
            )
        try:
            made = read(result, ROW_OF_ARRAY, like.column)
        except WrongType as error:
            raise BadValue(like.column, None, f"operator {self.name} returned values of type {error}") from None
        return replace(made, seq_lengths=like.seq_lengths)


def make(declared: Declared, inputs: Sequence[Input], cls: type[CustomOperator]) -> UserOperator:
    """Operator of a CustomFeature whose operator_name is registered."""
    config = declared.config
    layout = layout_of(declared, drop_empty=False) if cls.lists else whole_text(declared)
    return UserOperator(
        layouts=(layout,) * len(inputs),
        name=config.operator_name,
        call=cls(parameters(declared), [entry.name for entry in inputs]),
        is_sequence=declared.is_sequence,
        value_dim=kinds.value_dim(declared.kind, config, declared.is_sequence),
        normalizer=parse_normalizer(config.normalizer),
    )
