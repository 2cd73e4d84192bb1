"""IdFeature: the values as they are, as many as asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.numbers import to_floats, to_ints
from tzx.runtime.features.operators.base import layout_of
from tzx.runtime.features.ragged import Ragged, Values, head_values
from tzx.runtime.features.reading import Layout

# fg_value_type: what a value is read as before it is hashed or looked up.
VALUE_TYPES: dict[str, Callable[[Ragged], Values]] = {
    "": lambda ragged: ragged.values,
    "string": lambda ragged: ragged.values,
    "int32": to_ints,
    "int64": to_ints,
    "float": to_floats,
    "double": to_floats,
}


@dataclass(frozen=True)
class IdOperator:
    """Keeps `value_dim` values of every slot, 0 for all."""

    layouts: tuple[Layout, ...]
    value_dim: int
    value_type: str

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Values, cut and cast."""
        ragged = head_values(inputs[0], self.value_dim)
        return ragged.with_values(VALUE_TYPES[self.value_type](ragged))


def make(declared: Declared, inputs: Sequence[Input]) -> IdOperator:
    """Operator of an IdFeature."""
    config = declared.config
    if config.fg_value_type not in VALUE_TYPES:
        allowed = ", ".join(filter(None, VALUE_TYPES))
        raise ConfigError(f"fg_value_type is {config.fg_value_type!r}; allowed are {allowed}")
    return IdOperator(
        layouts=(layout_of(declared, drop_empty=True, weighted=config.weighted),),
        value_dim=kinds.value_dim(declared.kind, config, declared.is_sequence),
        value_type=config.fg_value_type,
    )
