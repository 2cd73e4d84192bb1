"""One small case per operator: its config, its columns, and the same work in pandas, polars and pyarrow.compute.

Every baseline takes a dict of Arrow arrays and returns arrays; a case whose work a library cannot express has none.
Hashes differ: each library uses its own, and pyarrow has none for single values. Results that can be compared are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

SEP = "\x1d"
EDGES = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
WORDS = [f"word{i}" for i in range(1000)]
Columns = dict[str, pa.Array]
Work = Callable[[Columns], Any]


@dataclass
class Case:
    """`make` draws columns; `config` is a FeatureConfig text; `works` are baselines by library."""

    name: str
    config: str
    make: Callable[[np.random.Generator, int], Columns]
    works: dict[str, Work] = field(default_factory=dict)
    same: bool = True  # baselines give the very same values


def joined(random: np.random.Generator, rows: int, most: int, word: Callable[[int], str], sep: str = SEP) -> pa.Array:
    counts = random.integers(1, most + 1, rows)
    drawn = random.integers(0, 1000, int(counts.sum()))
    ends = np.cumsum(counts)
    return pa.array([sep.join(map(word, drawn[e - c : e].tolist())) for c, e in zip(counts, ends, strict=True)])


def distinct_pairs(random: np.random.Generator, rows: int) -> pa.Array:
    """1 to 10 `key:number` of 30 keys, none of them twice."""
    made = []
    for count in random.integers(1, 11, rows).tolist():
        made.append("|".join(f"k{i}:{i / 8}" for i in random.permutation(30)[:count].tolist()))
    return pa.array(made)


def words(random: np.random.Generator, rows: int) -> pa.Array:
    return pa.array([WORDS[i] if i else None for i in random.integers(0, 1000, rows).tolist()])


def numbers(random: np.random.Generator, rows: int) -> pa.Array:
    return pa.array([f"{x:.2f}" for x in random.lognormal(2, 2, rows)])


def pandas(array: pa.Array) -> pd.Series:
    return array.to_pandas()


def polars(array: pa.Array) -> pl.Series:
    return pl.from_arrow(array)


def flat(array: pa.Array, sep: str = SEP) -> tuple[pa.Array, pa.Array]:
    """Tokens and the row of each."""
    lists = pc.split_pattern(array, sep)
    return pc.list_flatten(lists), pc.list_parent_indices(lists)


def cut(pairs: pa.Array, sep: str = ":") -> tuple[pa.Array, pa.Array]:
    parts = pc.split_pattern(pairs, sep, max_splits=1)
    return pc.list_element(parts, 0), pc.list_element(parts, 1)


def row_sums(rows: pa.Array, values: pa.Array, count: int) -> np.ndarray:
    return np.bincount(rows.to_numpy(), values.to_numpy(zero_copy_only=False), minlength=count)


# --- ids -------------------------------------------------------------------------------------------------------------


def multi_pandas(c: Columns) -> Any:
    lists = pandas(c["x"]).str.split(SEP)
    return lists.explode().astype("int64").to_numpy(), lists.str.len().to_numpy()


def multi_polars(c: Columns) -> Any:
    lists = polars(c["x"]).str.split(SEP)
    return lists.explode().cast(pl.Int64).to_numpy(), lists.list.len().to_numpy()


def multi_arrow(c: Columns) -> Any:
    lists = pc.split_pattern(c["x"], SEP)
    return pc.list_flatten(lists).cast(pa.int64()).to_numpy(), pc.list_value_length(lists).to_numpy()


def sequence_pandas(c: Columns) -> Any:
    lists = pandas(c["x"]).str.split(";").str[:50]
    return lists.explode().astype("int64").to_numpy(), lists.str.len().to_numpy()


def sequence_polars(c: Columns) -> Any:
    lists = polars(c["x"]).str.split(";").list.head(50)
    return lists.explode().cast(pl.Int64).to_numpy(), lists.list.len().to_numpy()


def sequence_arrow(c: Columns) -> Any:
    lists = pc.list_slice(pc.split_pattern(c["x"], ";"), 0, 50)
    return pc.list_flatten(lists).cast(pa.int64()).to_numpy(), pc.list_value_length(lists).to_numpy()


def vocabulary_pandas(c: Columns) -> Any:
    index = {word: i for i, word in enumerate(WORDS)}
    return pandas(c["x"]).dropna().map(index).to_numpy("int64")


def vocabulary_polars(c: Columns) -> Any:
    index = np.arange(len(WORDS))
    return polars(c["x"]).drop_nulls().replace_strict(WORDS, index, default=0).to_numpy()


def vocabulary_arrow(c: Columns) -> Any:
    return pc.index_in(c["x"].drop_null(), value_set=pa.array(WORDS)).fill_null(0).cast(pa.int64()).to_numpy()


# --- numbers ---------------------------------------------------------------------------------------------------------


def log_pandas(c: Columns) -> Any:
    x = pd.to_numeric(pandas(c["x"])).to_numpy("float64")
    return np.where(x > 1, np.log10(np.maximum(x, 1)), 0).astype("float32")


def log_polars(c: Columns) -> Any:
    x = pl.col("x").cast(pl.Float64)
    frame = pl.DataFrame({"x": polars(c["x"])})
    return frame.select(pl.when(x > 1).then(x.log10()).otherwise(0.0).cast(pl.Float32)).to_series().to_numpy()


def log_arrow(c: Columns) -> Any:
    x = c["x"].cast(pa.float64())
    return pc.if_else(pc.greater(x, 1.0), pc.log10(x), 0.0).cast(pa.float32()).to_numpy()


def buckets_pandas(c: Columns) -> Any:
    return np.searchsorted(EDGES, pd.to_numeric(pandas(c["x"])).to_numpy("float64"), "right")


def buckets_polars(c: Columns) -> Any:
    return pl.Series(EDGES).search_sorted(polars(c["x"]).cast(pl.Float64), side="right").to_numpy()


def buckets_arrow(c: Columns) -> Any:
    x = c["x"].cast(pa.float64())
    total = pc.greater_equal(x, EDGES[0]).cast(pa.int64())
    for edge in EDGES[1:]:
        total = pc.add(total, pc.greater_equal(x, edge).cast(pa.int64()))
    return total.to_numpy()


def expr_pandas(c: Columns) -> Any:
    a, b = pandas(c["a"]), pandas(c["b"])
    return np.where(a > 0, np.log(np.maximum(a, 1e-300)) * b + a / 2, b).astype("float32")


def expr_polars(c: Columns) -> Any:
    a, b = pl.col("a"), pl.col("b")
    made = pl.when(a > 0).then(a.log() * b + a / 2).otherwise(b).cast(pl.Float32)
    return pl.DataFrame({k: polars(v) for k, v in c.items()}).select(made).to_series().to_numpy()


def expr_arrow(c: Columns) -> Any:
    a, b = c["a"], c["b"]
    made = pc.add(pc.multiply(pc.ln(a), b), pc.divide(a, 2.0))
    return pc.if_else(pc.greater(a, 0.0), made, b).cast(pa.float32()).to_numpy()


def combine_pandas(c: Columns) -> Any:
    return pandas(c["x"]).str.split(SEP).explode().astype("float64").groupby(level=0).sum().to_numpy()


def combine_polars(c: Columns) -> Any:
    return polars(c["x"]).str.split(SEP).list.eval(pl.element().cast(pl.Float64)).list.sum().to_numpy()


def combine_arrow(c: Columns) -> Any:
    tokens, rows = flat(c["x"])
    return row_sums(rows, tokens.cast(pa.float64()), len(c["x"]))


# --- several inputs --------------------------------------------------------------------------------------------------


def lookup_pandas(c: Columns) -> Any:
    pairs = pandas(c["m"]).str.split(SEP).explode().str.split(":", n=1, expand=True)
    found = pairs[pairs[0] == pandas(c["k"]).reindex(pairs.index)]
    return found[1].astype("float64").groupby(level=0).last().reindex(range(len(c["m"])), fill_value=0).to_numpy()


def lookup_polars(c: Columns) -> Any:
    frame = pl.DataFrame({"m": polars(c["m"]), "k": polars(c["k"])}).with_row_index("row")
    pairs = frame.with_columns(pl.col("m").str.split(SEP)).explode("m")
    parts = pairs.with_columns(pl.col("m").str.split_exact(":", 1).struct.rename_fields(["key", "value"])).unnest("m")
    found = parts.filter(pl.col("key") == pl.col("k")).group_by("row").agg(pl.col("value").last().cast(pl.Float64))
    return frame.select("row").join(found, "row", how="left", maintain_order="left")["value"].fill_null(0).to_numpy()


def lookup_arrow(c: Columns) -> Any:
    tokens, rows = flat(c["m"])
    keys, values = cut(tokens)
    keep = pc.equal(keys, c["k"].take(rows))
    out = np.zeros(len(c["m"]))
    out[rows.filter(keep).to_numpy()] = values.filter(keep).cast(pa.float64()).to_numpy()
    return out


def match_pandas(c: Columns) -> Any:
    outer = pandas(c["m"]).str.split("|").explode().str.split("^", n=1, expand=True)
    outer = outer[outer[0] == pandas(c["p"]).reindex(outer.index)]
    inner = outer[1].str.split(",").explode().str.split(":", n=1, expand=True)
    found = inner[inner[0] == pandas(c["s"]).reindex(inner.index)]
    return found[1].astype("float64").groupby(level=0).last().reindex(range(len(c["m"])), fill_value=0).to_numpy()


def match_polars(c: Columns) -> Any:
    frame = pl.DataFrame({k: polars(v) for k, v in c.items()}).with_row_index("row")
    for column, key, parts, end in (("m", "p", "|", "^"), ("v", "s", ",", ":")):
        exploded = frame.with_columns(pl.col(column).str.split(parts)).explode(column)
        cut_ = pl.col(column).str.split_exact(end, 1).struct.rename_fields(["key", "v"])
        frame = (
            exploded.select("row", "s", key, cut_.alias("cut"))
            if column == "m"
            else exploded.select("row", key, cut_.alias("cut"))
        )
        frame = frame.unnest("cut").filter(pl.col("key") == pl.col(key))
    out = np.zeros(len(c["m"]))
    out[frame["row"].to_numpy()] = frame["v"].cast(pl.Float64).to_numpy()
    return out


def match_arrow(c: Columns) -> Any:
    tokens, rows = flat(c["m"], "|")
    keys, values = cut(tokens, "^")
    keep = pc.equal(keys, c["p"].take(rows))
    rows = rows.filter(keep)
    tokens, inner = flat(values.filter(keep), ",")
    rows = rows.take(inner)
    keys, values = cut(tokens)
    keep = pc.equal(keys, c["s"].take(rows))
    out = np.zeros(len(c["m"]))
    out[rows.filter(keep).to_numpy()] = values.filter(keep).cast(pa.float64()).to_numpy()
    return out


def dot_pandas(c: Columns) -> Any:
    sides = []
    for side in "qd":
        pairs = pandas(c[side]).str.split("|").explode().str.split(":", n=1, expand=True)
        pairs = pairs.rename_axis("row").reset_index().drop_duplicates(["row", 0], keep="last")
        sides.append(pairs.assign(value=pairs[1].astype("float64")).drop(columns=1))
    both = sides[0].merge(sides[1], on=["row", 0])
    return np.bincount(both["row"], both["value_x"] * both["value_y"], minlength=len(c["q"]))


def dot_polars(c: Columns) -> Any:
    sides = []
    for side in "qd":
        pairs = pl.DataFrame({"x": polars(c[side]).str.split("|")}).with_row_index("row").explode("x")
        cut_ = pl.col("x").str.split_exact(":", 1).struct.rename_fields(["key", side])
        pairs = pairs.with_columns(cut_).unnest("x").with_columns(pl.col(side).cast(pl.Float64))
        sides.append(pairs.unique(["row", "key"], keep="last"))
    both = sides[0].join(sides[1], ["row", "key"])
    return np.bincount(both["row"].to_numpy(), (both["q"] * both["d"]).to_numpy(), minlength=len(c["q"]))


def dot_arrow(c: Columns) -> Any:
    sides = []
    for side in "qd":
        tokens, rows = flat(c[side], "|")
        keys, values = cut(tokens)
        table = pa.table({"row": rows, "key": keys, side: values.cast(pa.float64())})
        grouped = table.group_by(["row", "key"], use_threads=False).aggregate([(side, "last")])
        sides.append(grouped)
    both = sides[0].join(sides[1], ["row", "key"], join_type="inner", use_threads=False)
    return row_sums(both["row"], pc.multiply(both["q_last"], both["d_last"]), len(c["q"]))


def overlap_pandas(c: Columns) -> Any:
    pairs = zip(pandas(c["q"]).str.split(SEP), pandas(c["t"]).str.split(SEP), strict=True)
    return np.array([len(set(q) & set(t)) / len(set(q)) for q, t in pairs])


def overlap_polars(c: Columns) -> Any:
    q, t = pl.col("q").str.split(SEP).list.unique(), pl.col("t").str.split(SEP)
    ratio = q.list.set_intersection(t).list.len() / q.list.len()
    return pl.DataFrame({k: polars(v) for k, v in c.items()}).select(ratio).to_series().to_numpy()


def overlap_arrow(c: Columns) -> Any:
    distinct = []
    for side in "qt":
        tokens, rows = flat(c[side])
        distinct.append(
            pa.table({"row": rows, "word": tokens}).group_by(["row", "word"], use_threads=False).aggregate([])
        )
    both = distinct[0].join(distinct[1], ["row", "word"], join_type="inner", use_threads=False)
    size = len(c["q"])
    return np.bincount(both["row"].to_numpy(), minlength=size) / np.bincount(
        distinct[0]["row"].to_numpy(), minlength=size
    )


def mask_pandas(c: Columns) -> Any:
    values, flags = (pandas(c[name]).str.split(SEP).explode() for name in "xb")
    kept = values[(flags == "true").to_numpy()]
    return kept.astype("int64").to_numpy(), np.bincount(kept.index, minlength=len(c["x"]))


def mask_polars(c: Columns) -> Any:
    frame = pl.DataFrame({k: polars(v).str.split(SEP) for k, v in c.items()}).with_row_index("row")
    kept = frame.explode("x", "b").filter(pl.col("b") == "true")
    return kept["x"].cast(pl.Int64).to_numpy(), np.bincount(kept["row"].to_numpy(), minlength=len(c["x"]))


def mask_arrow(c: Columns) -> Any:
    values, rows = flat(c["x"])
    keep = pc.equal(flat(c["b"])[0], "true")
    return values.filter(keep).cast(pa.int64()).to_numpy(), np.bincount(rows.filter(keep), minlength=len(c["x"]))


# --- the table -------------------------------------------------------------------------------------------------------


def own_hashes(prepare_pandas: Callable[[Columns], Any], prepare_polars: Callable[[Columns], Any]) -> dict[str, Work]:
    return {
        "pandas": lambda c: pd.util.hash_array(prepare_pandas(c).to_numpy(object), categorize=False) % 100_000,
        "polars": lambda c: (prepare_polars(c).hash() % 100_000).to_numpy(),
    }


def libraries(pandas_work: Work, polars_work: Work, arrow_work: Work) -> dict[str, Work]:
    return {"pandas": pandas_work, "polars": polars_work, "pyarrow": arrow_work}


def _masked(random: np.random.Generator, rows: int) -> Columns:
    values = joined(random, rows, 8, str)
    counts = [text.count(SEP) + 1 for text in values.to_pylist()]
    flags = [SEP.join(random.choice(["true", "false"], count)) for count in counts]
    return {"x": values, "b": pa.array(flags)}


def _nested(random: np.random.Generator, rows: int) -> Columns:
    inner = ",".join(f"s{j}:{{}}" for j in range(4))
    entry = "|".join(f"p{i}^{inner}" for i in range(4))
    maps = [entry.format(*drawn) for drawn in random.integers(0, 100, (rows, 16)).tolist()]
    keys = [[f"{side}{i}" for i in random.integers(0, 5, rows)] for side in "ps"]
    return {"m": pa.array(maps), "p": pa.array(keys[0]), "s": pa.array(keys[1])}


def _nested_sequence(random: np.random.Generator, rows: int) -> Columns:
    keys = {f"q__{side}": random.integers(0, 5, (rows, 50)).tolist() for side in "ps"}
    texts = {name: pa.array([";".join(f"{name[-1]}{i}" for i in row) for row in drawn]) for name, drawn in keys.items()}
    return {"m": _nested(random, rows)["m"], **texts}


ID, NUMBER = 'feature_name: "f" embedding_dim: 8', 'feature_name: "f" default_value: "0"'
VOCABULARY = " ".join(f'vocab_list: "{word}"' for word in WORDS)
BOUNDARIES = " ".join(f"boundaries: {edge}" for edge in EDGES)
CASES = [
    Case(
        "id, hashed text",
        f'id_feature {{ {ID} expression: "user:x" hash_bucket_size: 100000 }}',
        lambda r, n: {"x": words(r, n)},
        own_hashes(lambda c: pandas(c["x"]).dropna(), lambda c: polars(c["x"]).drop_nulls()),
        same=False,
    ),
    Case(
        "id, 1-10 numbers in text",
        f'id_feature {{ {ID} expression: "user:x" num_buckets: 1000 }}',
        lambda r, n: {"x": joined(r, n, 10, str)},
        libraries(multi_pandas, multi_polars, multi_arrow),
    ),
    Case(
        "id, vocabulary of 1000",
        f'id_feature {{ {ID} expression: "user:x" default_bucketize_value: 0 {VOCABULARY} }}',
        lambda r, n: {"x": words(r, n)},
        libraries(vocabulary_pandas, vocabulary_polars, vocabulary_arrow),
    ),
    Case(
        "id sequence, 50 of 1-80",
        f'sequence_id_feature {{ {ID} expression: "user:x" num_buckets: 1000 sequence_length: 50 }}',
        lambda r, n: {"x": joined(r, n, 80, str, ";")},
        libraries(sequence_pandas, sequence_polars, sequence_arrow),
    ),
    Case(
        "raw, text, log10",
        f'raw_feature {{ {NUMBER} expression: "user:x" normalizer: "method=log10,threshold=1,default=0" }}',
        lambda r, n: {"x": numbers(r, n)},
        libraries(log_pandas, log_polars, log_arrow),
    ),
    Case(
        "raw, text, 9 boundaries",
        f'raw_feature {{ {NUMBER} expression: "user:x" embedding_dim: 8 {BOUNDARIES} }}',
        lambda r, n: {"x": numbers(r, n)},
        libraries(buckets_pandas, buckets_polars, buckets_arrow),
    ),
    Case(
        "combo of two, hashed",
        f'combo_feature {{ {ID} expression: "user:a" expression: "item:b" hash_bucket_size: 100000 }}',
        lambda r, n: {"a": joined(r, n, 1, str), "b": joined(r, n, 1, str)},
        own_hashes(
            lambda c: pandas(c["a"]) + "_" + pandas(c["b"]),
            lambda c: pl.select(pl.concat_str(polars(c["a"]), polars(c["b"]), separator="_")).to_series(),
        ),
        same=False,
    ),
    Case(
        "lookup in 1-10 pairs",
        f'lookup_feature {{ {NUMBER} map: "user:m" key: "item:k" combiner: "sum" }}',
        lambda r, n: {"m": joined(r, n, 10, lambda i: f"k{i % 20}:{i}"), "k": joined(r, n, 1, lambda i: f"k{i % 20}")},
        libraries(lookup_pandas, lookup_polars, lookup_arrow),
    ),
    Case(
        "match in 4 times 4 pairs",
        f'match_feature {{ {NUMBER} nested_map: "user:m" pkey: "item:p" skey: "item:s" }}',
        _nested,
        libraries(match_pandas, match_polars, match_arrow),
    ),
    Case(
        "match sequence, 50 elements",
        f'sequence_feature {{ sequence_name: "q" sequence_length: 50 features {{ match_feature {{ {NUMBER} '
        'nested_map: "user:m" pkey: "item:p" skey: "item:s" } } }',
        _nested_sequence,
    ),
    Case(
        "expr over two numbers",
        f'expr_feature {{ {NUMBER} expression: "a > 0 ? log(a) * b + a / 2 : b" '
        'variables: "user:a" variables: "user:b" }',
        lambda r, n: {"a": pa.array(r.lognormal(1, 1, n)), "b": pa.array(r.normal(0, 1, n))},
        libraries(expr_pandas, expr_polars, expr_arrow),
    ),
    Case(
        "overlap of 1-8 with 1-16 words",
        'overlap_feature { feature_name: "f" query: "user:q" title: "item:t" method: "query_common_ratio" }',
        lambda r, n: {"q": joined(r, n, 8, lambda i: f"w{i % 30}"), "t": joined(r, n, 16, lambda i: f"w{i % 30}")},
        libraries(overlap_pandas, overlap_polars, overlap_arrow),
    ),
    Case(
        "kv_dot_product, 1-10 pairs",
        f'kv_dot_product {{ {NUMBER} query: "user:q" document: "item:d" separator: "|" }}',
        lambda r, n: {side: distinct_pairs(r, n) for side in "qd"},
        libraries(dot_pandas, dot_polars, dot_arrow),
    ),
    Case(
        "bool_mask, 1-8 values",
        f'bool_mask_feature {{ {ID} expression: "user:x" expression: "user:b" num_buckets: 1000 }}',
        _masked,
        libraries(mask_pandas, mask_polars, mask_arrow),
    ),
    Case(
        "combine, sum of 1-10",
        f'combine_feature {{ {NUMBER} expression: "user:x" combiner: "sum" }}',
        lambda r, n: {"x": joined(r, n, 10, str)},
        libraries(combine_pandas, combine_polars, combine_arrow),
    ),
    Case(
        "custom, RegexReplace, hashed",
        f'custom_feature {{ {ID} expression: "user:x" operator_name: "RegexReplace" '
        'operator_lib_file: "-" hash_bucket_size: 100000 '
        'operator_params { fields { key: "regex_pattern" value { string_value: "[0-9]+" } } '
        'fields { key: "replacement" value { string_value: "#" } } } }',
        lambda r, n: {"x": words(r, n)},
        own_hashes(
            lambda c: pandas(c["x"]).dropna().str.replace("[0-9]+", "#", regex=True),
            lambda c: polars(c["x"]).drop_nulls().str.replace_all("[0-9]+", "#"),
        ),
        same=False,
    ),
]
