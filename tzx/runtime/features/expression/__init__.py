"""Formulas in configs: parsed from a fixed grammar into a tree of NumPy calls. Nothing is ever executed as code."""

from tzx.runtime.features.expression.parser import ExpressionError, parse_expression
from tzx.runtime.features.expression.tree import Expression
from tzx.runtime.features.expression.vectors import Operand, Vectors

__all__ = ["Expression", "ExpressionError", "Operand", "Vectors", "parse_expression"]
