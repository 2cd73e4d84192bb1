"""CustomFeature: operators by name, those of the compatible system and classes of the user's own.

Its shared libraries (operator_lib_file) are never loaded. OPERATORS is the whole list of what comes with tzx.
"""

import difflib
from collections.abc import Callable, Sequence

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.operators.base import Operator
from tzx.runtime.features.operators.custom import edit_distance, regex_replace, seq_expr, user

OPERATORS: dict[str, Callable[[Declared, Sequence[Input]], Operator]] = {
    "EditDistance": edit_distance.make,
    "RegexReplace": regex_replace.make,
    "SeqExpr": seq_expr.make,
}


def make(declared: Declared, inputs: Sequence[Input]) -> Operator:
    """Operator of a CustomFeature.

    Raises:
        ConfigError: there is no operator of this name, or its parameters do not work.
    """
    name = declared.config.operator_name
    own = user.registered(name)
    if own is not None:
        return user.make(declared, inputs, own)
    if name not in OPERATORS:
        known = [*OPERATORS, *user.registered_names()]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"operator_name {name!r} is unknown{hint}; there are {', '.join(known)}; shared libraries are not loaded, "
            f"and an operator of your own is a Python class that joins through register_operator({name!r}, cls)"
        )
    return OPERATORS[name](declared, inputs)
