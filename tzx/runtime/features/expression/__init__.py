"""Formulas in configs: parsed from a fixed grammar into a tree of NumPy calls. Nothing is ever executed as code."""

from tzx.runtime.features.expression.parser import Expression, ExpressionError, parse_expression

__all__ = ["Expression", "ExpressionError", "parse_expression"]
