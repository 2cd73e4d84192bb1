"""ComboFeature: cross products against itertools."""

from itertools import product

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = ["a", "bb", "é", "", "1"]
VOCABULARY = ["_".join(p) for n in (2, 3) for p in product(["a", "bb", "é", "1"], repeat=n)]
ROW = st.none() | st.lists(st.sampled_from(WORDS), max_size=3).map("|".join)


def config(inputs: int, rest: str = "", sequence: bool = False) -> str:
    sides = " ".join(f'expression: "{"item" if sequence and i == 0 else "user"}:c{i}"' for i in range(inputs))
    words = " ".join(f'vocab_list: "{word}"' for word in VOCABULARY)
    body = f'combo_feature {{ feature_name: "f" {sides} embedding_dim: 4 {words} separator: "|" {rest} }}'
    if not sequence:
        return body
    return f'sequence_feature {{ sequence_name: "s" sequence_length: 3 features {{ {body} }} }}'


def tokens(cell: str | None) -> list[str]:
    return [token for token in (cell or "").split("|") if token]


def bucket(words: list[str]) -> list[int]:
    return [2 + VOCABULARY.index(word) for word in words]


@given(st.lists(st.tuples(ROW, ROW, ROW), min_size=1, max_size=6), st.sampled_from([2, 3]), st.sampled_from([0, 1, 2]))
@settings(max_examples=80, deadline=None)
def test_equals_itertools(run, slots, rows, inputs, width):
    columns = {f"c{i}": pa.array([row[i] for row in rows], pa.string()) for i in range(inputs)}
    made = slots(run(config(inputs, f"value_dim: {width}"), **columns))
    joined = [["_".join(p) for p in product(*(tokens(cell) for cell in row[:inputs]))] for row in rows]
    assert made == [bucket(words[: width or None]) for words in joined]


@given(st.lists(st.tuples(st.none() | st.lists(ROW.map(lambda x: x or ""), max_size=4).map(";".join), ROW), max_size=5))
@settings(max_examples=60, deadline=None)
def test_sequence_with_a_row_value_repeated(run, slots, rows):
    made = run(
        config(2, 'default_value: "a_a"', sequence=True),
        s__c0=pa.array([row[0] for row in rows], pa.string()),
        c1=pa.array([row[1] for row in rows], pa.string()),
    )
    wanted, counts = [], []
    for sequence, other in rows:
        elements = sequence.split(";")[:3] if sequence else [""]
        counts.append(len(elements))
        for element in elements:
            words = ["_".join(p) for p in product(tokens(element), tokens(other))]
            wanted.append(bucket(words) if words else [0])  # the default value has index 0 ...
    index = VOCABULARY.index("a_a") + 2  # ... unless it is a listed word
    assert slots(made) == [[index] if slot == [0] else slot for slot in wanted]
    assert made.seq_lengths.tolist() == counts


def test_numbers_are_joined_as_text(run):
    first = run(config(2), c0=[1, 1], c1=["a", "bb"])
    assert first.values.tolist() == bucket(["1_a", "1_bb"])
    assert run(config(2), c0=[[1, 1]], c1=[1.0]).values.tolist() == bucket(["1_1", "1_1"])
