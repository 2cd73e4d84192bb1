"""RegexReplace: every match of a pattern replaced. RE2 does it, whose time grows with the text only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.arrow import strings_of, view
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_strings
from tzx.runtime.features.operators.base import drop_empty_words, normalized
from tzx.runtime.features.operators.custom.shared import parameters, text_parameter, whole_text
from tzx.runtime.features.ragged import Ragged, Strings, head_values
from tzx.runtime.features.reading import Layout
from tzx.runtime.features.texts import arrow_texts

# Share of distinct texts up to which looking for equal ones pays.
MOST_DISTINCT = 0.7


@dataclass(frozen=True)
class RegexReplaceOperator:
    """Every value of a slot with its matches replaced; what becomes empty is left out."""

    layouts: tuple[Layout, ...]
    pattern: str
    replacement: str
    value_dim: int
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Texts."""
        ragged = head_values(inputs[0], self.value_dim)
        texts = arrow_texts(to_strings(ragged.values), ragged)
        return normalized(drop_empty_words(ragged.with_values(self._replaced(texts))), self.normalizer)

    def _replaced(self, texts: pa.Array) -> Strings:
        """The texts with their matches replaced; each of the distinct ones once, where texts are frequent."""
        encoded = texts.dictionary_encode()
        distinct = encoded.dictionary
        if len(distinct) > MOST_DISTINCT * len(texts):
            return strings_of(pc.replace_substring_regex(texts, self.pattern, self.replacement))
        replaced = strings_of(pc.replace_substring_regex(distinct, self.pattern, self.replacement))
        return replaced[view(encoded.indices, np.int32)]


def make(declared: Declared, inputs: Sequence[Input]) -> RegexReplaceOperator:
    """Operator of a CustomFeature with operator_name RegexReplace."""
    if len(inputs) != 1:
        raise ConfigError(f"RegexReplace takes one input, {len(inputs)} given")
    given = parameters(declared)
    # The compatible system spells the name without its r.
    pattern = text_parameter(given, "regex_pattern", "regex_patten")
    replacement = text_parameter(given, "replacement")
    _check(pattern, replacement)
    return RegexReplaceOperator(
        layouts=(whole_text(declared),),
        pattern=pattern,
        replacement=replacement,
        value_dim=kinds.value_dim(declared.kind, declared.config, declared.is_sequence),
        normalizer=parse_normalizer(declared.config.normalizer),
    )


def _check(pattern: str, replacement: str) -> None:
    try:
        pc.replace_substring_regex(pa.array(["x"]), pattern, replacement)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        problem = re.sub(r"^Invalid regular expression: ", "", str(error).splitlines()[0])
        raise ConfigError(f"operator_params: pattern {pattern!r} with replacement {replacement!r}: {problem}") from None
