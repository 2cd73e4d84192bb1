"""TokenizeFeature: the tokens of texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import arrow, kinds
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import has_field
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.numbers import to_strings
from tzx.runtime.features.operators.base import layout_of
from tzx.runtime.features.ragged import Ragged, as_rows, fill_missing, head_elements, take_slots
from tzx.runtime.features.reading import Layout
from tzx.runtime.features.text_normalizer import TextNormalizer, make_text_normalizer
from tzx.runtime.features.texts import arrow_texts
from tzx.runtime.features.tokenizers import Tokenizer, load_tokenizer
from tzx.runtime.features.vocabulary import read_asset


@dataclass(frozen=True)
class TokenizeOperator:
    """Token ids of the texts of every slot; a slot without tokens gets `default`.

    Args:
        layouts: how the input is written.
        tokenizer: makes ids of texts.
        normalizer: evens texts out before that.
        default: ids of default_value.
        as_sequence: every token is an element of its row.
        sequence_length: elements kept then, None for all.
    """

    layouts: tuple[Layout, ...]
    tokenizer: Tokenizer
    normalizer: TextNormalizer | None
    default: tuple[int, ...]
    as_sequence: bool
    sequence_length: int | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Token ids."""
        ragged = inputs[0]
        texts = arrow_texts(to_strings(ragged.values), ragged)
        tokens = self._tokens(texts)
        # Tokens lie in texts as values lie in slots, and texts in slots as elements lie in rows.
        slots = as_rows(replace(tokens, seq_lengths=ragged.lengths))
        made = replace(slots, seq_lengths=ragged.seq_lengths, column=ragged.column)
        made = fill_missing(made, np.array(self.default, np.int64))
        if not self.as_sequence:
            return made
        elements = replace(made, lengths=np.ones(len(made.values), np.int32), seq_lengths=made.lengths)
        return head_elements(elements, self.sequence_length)

    def _tokens(self, texts: pa.Array) -> Ragged:
        """Ids of every text; equal texts, which are frequent, are tokenized once."""
        encoded = texts.dictionary_encode()
        distinct = encoded.dictionary if self.normalizer is None else self.normalizer(encoded.dictionary)
        words = Ragged(*self.tokenizer(distinct.to_pylist()))
        places: Int64 = arrow.view(encoded.indices, np.int32).astype(np.int64)
        return take_slots(words, places)


def make(declared: Declared, inputs: Sequence[Input]) -> TokenizeOperator:
    """Operator of a TokenizeFeature."""
    config = declared.config
    if len(inputs) != 1:
        raise ConfigError(f"a tokenizer takes one input, {len(inputs)} given")
    content = read_asset(config.vocab_file, config.asset_dir)
    tokenizer = load_tokenizer(config.tokenizer_type, content, config.vocab_file)
    default = kinds.default_value(config, declared.is_sequence)
    return TokenizeOperator(
        layouts=(replace(layout_of(declared, drop_empty=True), separator=b""),),
        tokenizer=tokenizer,
        normalizer=make_text_normalizer(config.text_normalizer) if has_field(config, "text_normalizer") else None,
        default=tuple(tokenizer([default])[0].tolist()) if default else (),
        as_sequence=declared.tokens_as_sequence,
        sequence_length=declared.sequence_length,
    )
