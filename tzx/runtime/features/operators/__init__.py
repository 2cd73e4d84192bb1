"""One file per operator, over the shared core of `ragged`, `reading`, `numbers` and `outputs`.

An operator sees the values of its inputs slot by slot (a slot is a row, or an element of a sequence) and yields values
for the same slots; defaults and bucketizing come after it. REGISTRY is the whole list.
"""

from collections.abc import Callable

from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.operators import (
    bool_mask,
    combine,
    combo,
    custom,
    expr,
    kv_dot_product,
    lookup,
    match,
    overlap,
    tokenize,
)
from tzx.runtime.features.operators import id as id_operator
from tzx.runtime.features.operators import raw as raw_operator
from tzx.runtime.features.operators.base import Operator

Inputs = tuple[Input, ...]
REGISTRY: dict[str, Callable[[Declared, Inputs], Operator]] = {
    "id_feature": id_operator.make,
    "raw_feature": raw_operator.make,
    "combo_feature": combo.make,
    "lookup_feature": lookup.make,
    "match_feature": match.make,
    "overlap_feature": overlap.make,
    "expr_feature": expr.make,
    "tokenize_feature": tokenize.make,
    "custom_feature": custom.make,
    "kv_dot_product": kv_dot_product.make,
    "bool_mask_feature": bool_mask.make,
    "combine_feature": combine.make,
}


def make_operator(declared: Declared, inputs: Inputs) -> Operator:
    """The operator of a feature over these inputs.

    Raises:
        ConfigError: its options do not work.
    """
    return REGISTRY[declared.kind](declared, inputs)


__all__ = ["REGISTRY", "Operator", "make_operator"]
