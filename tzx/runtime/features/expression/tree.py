"""What a formula is compiled to: nodes that evaluate themselves over all slots at once.

The nodes are plain frozen dataclasses, so that a feature set can be sent to worker processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tzx.runtime.features.expression.chance import random_numbers
from tzx.runtime.features.expression.functions import BINARY, FUNCTIONS
from tzx.runtime.features.expression.reductions import REDUCTIONS
from tzx.runtime.features.expression.vectors import Array, Operand, Vectors, lift, reduce_vectors


@dataclass(frozen=True, eq=False)
class Scope:
    """What a formula is evaluated over; `fill` stands for what short vectors lack."""

    variables: Mapping[str, Operand]
    fill: float


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return np.array(self.value)


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


def _choose(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(condition != 0, yes, no)


@dataclass(frozen=True)
class Choice:
    """condition ? yes : no."""

    condition: "Node"
    yes: "Node"
    no: "Node"

    def __call__(self, scope: Scope) -> Operand:
        """Evaluate."""
        return lift(_choose, [self.condition(scope), self.yes(scope), self.no(scope)], scope.fill)


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
            result = self.root(Scope(values, fill))
        return result if isinstance(result, Vectors) else np.asarray(result, np.float64)
