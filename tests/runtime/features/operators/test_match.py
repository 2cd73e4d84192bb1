"""MatchFeature against nested Python dicts."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import DataError

OUTER, INNER = ["ca", "cb", "cc"], ["ba", "bb", "bc"]
NESTED = st.dictionaries(st.sampled_from(OUTER), st.dictionaries(st.sampled_from(INNER), st.integers(0, 9), min_size=1))
KEY = st.none() | st.sampled_from(["", "x"])


def config(rest: str, pkey: str = "item:p", skey: str = "item:s") -> str:
    keys = f'pkey: "{pkey}" skey: "{skey}"'
    return f'match_feature {{ feature_name: "f" nested_map: "user:m" {keys} embedding_dim: 4 {rest} }}'


def inner_text(inner: dict[str, int]) -> str:
    return ",".join(f"{key}:{value}" for key, value in inner.items())


def column(rows, as_map: bool) -> pa.Array:
    if as_map:
        rows = [[(key, inner_text(inner)) for key, inner in row.items()] for row in rows]
        return pa.array(rows, pa.map_(pa.string(), pa.string()))
    return pa.array(["|".join(f"{key}^{inner_text(inner)}" for key, inner in row.items()) for row in rows])


ROWS = st.lists(st.tuples(NESTED, KEY | st.sampled_from(OUTER), KEY | st.sampled_from(INNER)), min_size=1, max_size=6)


@given(ROWS, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_ids_equal_nested_dicts(run, slots, rows, as_map, all_outer, all_inner):
    made = run(
        config("num_buckets: 10", "ALL" if all_outer else "item:p", "ALL" if all_inner else "item:s").replace(
            "embedding_dim", 'default_value: "" embedding_dim'
        ),
        m=column([row[0] for row in rows], as_map),
        p=pa.array([row[1] for row in rows], pa.string()),
        s=pa.array([row[2] for row in rows], pa.string()),
    )
    wanted = [
        [
            value
            for outer, inner in nested.items()
            for key, value in inner.items()
            if (all_outer or outer == p) and (all_inner or key == s)
        ]
        for nested, p, s in rows
    ]
    assert slots(made) == wanted


def test_keys_are_shown_before_a_hashed_value(run):
    rows = {"m": ["ca^ba:1"], "p": ["ca"], "s": ["ba"]}
    id_of = 'id_feature { feature_name: "i" expression: "user:c" embedding_dim: 4 hash_bucket_size: 1000 }'
    for options, text in (
        ("", "f_1"),
        ("show_pkey: true", "f_ca_1"),
        ("show_skey: true", "f_ba_1"),
        ("show_pkey: true show_skey: true", "f_ca_ba_1"),
    ):
        made = run(config(f"hash_bucket_size: 1000 {options}"), **rows)
        assert made.values.tolist() == run(id_of, c=[text]).values.tolist()


def test_numbers(run):
    dense = config('default_value: "5" normalizer: "method=minmax,min=0,max=2"').replace("embedding_dim: 4", "")
    made = run(dense, m=["ca^ba:1,bb:2", "ca^ba:1", None], p=["ca", "cb", "ca"], s=["bb", "ba", "ba"])
    assert made.values.tolist() == [[1], [5], [5]]
    with pytest.raises(DataError, match="2 numbers where value_dim is 1"):
        run(config("", skey="ALL"), m=["ca^ba:1,bb:2"], p=["ca"])
    with pytest.raises(DataError, match=r"column 'm', row 1 of the batch: 'z' is not a number"):
        run(config(""), m=["ca^ba:1", "ca^ba:z"], p=["ca", "ca"], s=["ba", "ba"])


def test_sequence_of_keys(run, slots):
    body = config('num_buckets: 10 default_value: "9"')
    made = run(
        f'sequence_feature {{ sequence_name: "q" sequence_length: 9 features {{ {body} }} }}',
        m=["ca^ba:1,bb:2|cb^ba:3", "ca^ba:4"],
        q__p=["ca;cb;cc", ""],
        q__s=["bb;ba;ba", ""],
    )
    assert slots(made) == [[2], [3], [9], [9]]
    assert made.seq_lengths.tolist() == [3, 1]


ELEMENTS = st.lists(st.tuples(st.sampled_from([*OUTER, "x"]), st.sampled_from([*INNER, "x"])), min_size=1, max_size=4)


@given(st.lists(st.tuples(NESTED, ELEMENTS), min_size=1, max_size=5), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=2000, deadline=None)
def test_sequences_equal_nested_dicts(run, slots, rows, as_map, all_outer, all_inner):
    body = config("hash_bucket_size: 1000000", "ALL" if all_outer else "item:p", "ALL" if all_inner else "item:s")
    if all_outer and all_inner:
        return  # nothing is a sequence then
    made = run(
        f'sequence_feature {{ sequence_name: "q" sequence_length: 9 features {{ {body} }} }}',
        m=column([row[0] for row in rows], as_map),
        q__p=pa.array([";".join(p for p, _ in row[1]) for row in rows]),
        q__s=pa.array([";".join(s for _, s in row[1]) for row in rows]),
    )
    wanted = []
    for nested, elements in rows:
        for p, s in elements:
            wanted.append(
                [
                    f"f_{value}"
                    for outer, inner in nested.items()
                    for key, value in inner.items()
                    if (all_outer or outer == p) and (all_inner or key == s)
                ]
            )
    words = [word for slot in wanted for word in slot]
    ids = run('id_feature { feature_name: "i" expression: "user:c" embedding_dim: 4 hash_bucket_size: 1000000 }',
              c=pa.array(["0", *words])).values.tolist()  # fmt: skip
    left = iter(ids[1:])
    assert slots(made) == [[next(left) for _ in slot] or [ids[0]] for slot in wanted]
    assert made.seq_lengths.tolist() == [len(elements) for _, elements in rows]


def test_sequences_of_unequal_length_are_refused(run):
    body = config("num_buckets: 10")
    with pytest.raises(DataError, match=r"column 'q__s', row 1 .* has 1 elements, but 'q__p' has 2"):
        run(
            f'sequence_feature {{ sequence_name: "q" sequence_length: 9 features {{ {body} }} }}',
            m=["ca^ba:1", "ca^ba:1"],
            q__p=["ca", "ca;cb"],
            q__s=["ba", "ba"],
        )
