"""CombineFeature: the sum, mean, least, largest or number of a slot's values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.features.bucketizers import has_field
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_floats, to_strings
from tzx.runtime.features.operators.base import layout_of, normalized
from tzx.runtime.features.operators.combining import check_combiner, combine
from tzx.runtime.features.ragged import Ragged, counts_of_kept
from tzx.runtime.features.reading import Layout
from tzx.runtime.features.vocabulary import Vocabulary


@dataclass(frozen=True)
class CombineOperator:
    """One number per slot. With `names`, values are words that stand for `numbers`; others are left out."""

    layouts: tuple[Layout, ...]
    names: Vocabulary | None
    numbers: tuple[float, ...]
    combiner: str
    truncate: bool
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Combined numbers."""
        ragged = inputs[0] if self.names is None else self._named(inputs[0], self.names)
        made = normalized(combine(ragged, to_floats(ragged), self.combiner), self.normalizer)
        if not self.truncate:
            return made
        return replace(made, values=np.trunc(to_floats(made)).astype(np.int64))

    def _named(self, ragged: Ragged, names: Vocabulary) -> Ragged:
        found = names.look_up(to_strings(ragged.values))
        keep = found >= 0
        numbers = np.array(self.numbers)[found[keep]]
        return replace(ragged, values=numbers, lengths=counts_of_kept(keep, ragged.lengths))


def make(declared: Declared, inputs: Sequence[Input]) -> CombineOperator:
    """Operator of a CombineFeature."""
    config = declared.config
    words = tuple(sorted(config.value_map))
    names = Vocabulary(tuple(word.encode() for word in words), tuple(range(len(words))), -1, len(words))
    return CombineOperator(
        layouts=(layout_of(declared, drop_empty=True),),
        names=names if words else None,
        numbers=tuple(config.value_map[word] for word in words),
        combiner=check_combiner(config.combiner),
        truncate=has_field(config, "num_buckets"),
        normalizer=parse_normalizer(config.normalizer),
    )
