"""What a formula is compiled to: nodes that evaluate themselves over all slots at once.

The nodes are plain frozen dataclasses, so that a feature set can be sent to worker processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tzx.runtime.features.expression.chance import random_numbers
from tzx.runtime.features.expression.functions import BINARY, FUNCTIONS, TRUTHS, Truths
from tzx.runtime.features.expression.reductions import REDUCTIONS
from tzx.runtime.features.expression.vectors import Array, Operand, Vectors, lift, reduce_vectors

# Levels of BINARY below this one take true and false.
FIRST_OF_NUMBERS = 2
MOST_SLOTS = 8192


@dataclass(frozen=True, eq=False)
class Scope:
    """What a formula is evaluated over; `fill` stands for what short vectors lack."""

    variables: Mapping[str, Operand]
    fill: float


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float

    @cached_property
    def _array(self) -> Array:
        return np.array(self.value)

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return self._array


@dataclass(frozen=True)
class Variable:
    """A value given by name."""

    name: str

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return scope.variables[self.name]


@dataclass(frozen=True)
class Random:
    """The `seed`-th rnd() of a formula."""

    seed: int

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return random_numbers(scope.variables, self.seed)


@dataclass(frozen=True)
class Call:
    """A function of FUNCTIONS, value by value."""

    name: str
    arguments: tuple["Node", ...]

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return lift(FUNCTIONS[self.name].call, [argument(scope) for argument in self.arguments], scope.fill)


@dataclass(frozen=True)
class Reduction:
    """A function of REDUCTIONS, from vectors to numbers."""

    name: str
    arguments: tuple["Node", ...]

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return reduce_vectors(REDUCTIONS[self.name].call, [argument(scope) for argument in self.arguments], scope.fill)


@dataclass(frozen=True)
class Operation:
    """A binary operator of BINARY."""

    level: int
    symbol: str
    left: "Node"
    right: "Node"

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return lift(BINARY[self.level][self.symbol], [self.left(scope), self.right(scope)], scope.fill)

    def truth(self, scope: Scope) -> "Operand | Truths":
        """The same, where possible without making numbers of true and false, of an operator of TRUTHS."""
        both = [
            _truth(side, scope) if self.level < FIRST_OF_NUMBERS else side(scope) for side in (self.left, self.right)
        ]
        if any(isinstance(operand, Vectors) for operand in both):
            return lift(BINARY[self.level][self.symbol], both, scope.fill)  # type: ignore[arg-type]
        return TRUTHS[self.symbol](*both)


@dataclass(frozen=True)
class Power:
    """base ^ exponent."""

    base: "Node"
    exponent: "Node"

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return lift(np.power, [self.base(scope), self.exponent(scope)], scope.fill)


@dataclass(frozen=True)
class Negative:
    """Sign change."""

    value: "Node"

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return lift(np.negative, [self.value(scope)], scope.fill)


def _truth(node: "Node", scope: Scope) -> "Operand | Truths":
    return node.truth(scope) if isinstance(node, Operation) and node.symbol in TRUTHS else node(scope)


def _choose(condition: "Array | Truths", yes: Array, no: Array) -> Array:
    return np.where(condition if condition.dtype == np.bool_ else condition != 0, yes, no)


@dataclass(frozen=True)
class Choice:
    """condition ? yes : no."""

    condition: "Node"
    yes: "Node"
    no: "Node"

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        condition, yes, no = _truth(self.condition, scope), self.yes(scope), self.no(scope)
        return lift(_choose, [condition, yes, no], scope.fill)  # type: ignore[list-item]


Node = Number | Variable | Random | Call | Reduction | Operation | Power | Negative | Choice


@dataclass(frozen=True)
class Expression:
    """A compiled formula; `variables` are those it uses."""

    text: str
    root: Node
    variables: tuple[str, ...]

    def __call__(self, values: Mapping[str, Array]) -> Array:
        """Evaluate over float64 numbers that broadcast; a domain error is NaN or infinity, as in IEEE arithmetic."""
        result = self.over_vectors(values)
        assert not isinstance(result, Vectors)
        return result

    def over_vectors(self, values: Mapping[str, Operand], fill: float = np.nan) -> Operand:
        """Evaluate over numbers and vectors; what short vectors lack is `fill`."""
        with np.errstate(all="ignore"):
            size = _slots_of(values)
            if size > MOST_SLOTS:
                return self._in_blocks(values, fill, size)
            result = self.root(Scope(values, fill))
        return result if isinstance(result, Vectors) else np.asarray(result, np.float64)

    def _in_blocks(self, values: Mapping[str, Operand], fill: float, size: int) -> Array:
        """Some slots at a time, so that what lies between two steps stays in the cache."""
        result = np.empty(size, np.float64)
        for first in range(0, size, MOST_SLOTS):
            block = slice(first, first + MOST_SLOTS)
            result[block] = self.root(Scope({name: value[block] for name, value in values.items()}, fill))  # type: ignore[index, assignment]
        return result


def _slots_of(values: Mapping[str, Operand]) -> int:
    """Slots of variables that have one number each in all of them; 0 for others."""
    shapes = {None if isinstance(value, Vectors) else value.shape for value in values.values()}
    shape = shapes.pop() if len(shapes) == 1 else None
    return shape[0] if shape is not None and len(shape) == 1 else 0
