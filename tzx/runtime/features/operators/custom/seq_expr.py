"""SeqExpr: a formula over the elements of sequences, or a function by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tzx.runtime.features import kinds
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.expression import parse_expression
from tzx.runtime.features.expression.functions import FUNCTIONS
from tzx.runtime.features.expression.reductions import REDUCTIONS
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_floats
from tzx.runtime.features.operators.base import layout_of, normalized
from tzx.runtime.features.operators.custom.shared import align_elements, parameters, text_parameter
from tzx.runtime.features.operators.expr import ExprOperator, variable_names
from tzx.runtime.features.ragged import Ragged
from tzx.runtime.features.reading import Layout

# Names of the compatible system for what formulas call differently.
NAMED = {"spherical_distance": "sphere_dist"}


@dataclass(frozen=True)
class SeqExprOperator:
    """`formula` over elements, of which a single one goes with every element of the others."""

    formula: ExprOperator
    normalizer: Normalizer | None

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """How each input is written."""
        return self.formula.layouts

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Numbers."""
        numbers = [replace(ragged, values=to_floats(ragged)) for ragged in inputs]
        return normalized(self.formula(align_elements(numbers, self.formula.is_sequence)), self.normalizer)


def make(declared: Declared, inputs: Sequence[Input]) -> SeqExprOperator:
    """Operator of a CustomFeature with operator_name SeqExpr."""
    config = declared.config
    formula, names = _formula(text_parameter(parameters(declared), "formula").strip(), inputs)
    return SeqExprOperator(
        ExprOperator(
            layouts=(layout_of(declared, drop_empty=False),) * len(inputs),
            expression=parse_expression(formula, names),
            names=names,
            width=kinds.value_dim(declared.kind, config, declared.is_sequence),
            fill=None,
            is_sequence=declared.is_sequence,
        ),
        parse_normalizer(config.normalizer),
    )


def _formula(text: str, inputs: Sequence[Input]) -> tuple[str, tuple[str, ...]]:
    """A formula and what its variables are called; a mere function name means that function of all inputs."""
    name = NAMED.get(text, text)
    if name in [entry.name for entry in inputs] or name not in {*FUNCTIONS, *REDUCTIONS}:
        return text, variable_names(inputs)
    names = tuple(f"input_{at + 1}" for at in range(len(inputs)))
    return f"{name}({', '.join(names)})", names
