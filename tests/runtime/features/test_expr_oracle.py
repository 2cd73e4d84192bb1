"""ExprFeature against a slow reading of its rules, over generated configs, values and memory layouts."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError

EDGES = [-1.0, 0.5, 2.0]
NUMBERS = [0.0, 0.5, -1.0, 1.25, 2.0, -7.0]
LAYOUTS = ("plain", "sliced", "large", "view", "dictionary", "garbage")
Vector = list[float]


class Refused(Exception):
    """The oracle's word for a batch that must be an error."""


def by_value(call: Callable[..., float]) -> Callable[..., Vector]:
    """A function of numbers on vectors: one number goes with all, short vectors are filled up."""

    def apply(fill: float, *vectors: Vector) -> Vector:
        longest = max(map(len, vectors))
        even = [v * longest if len(v) == 1 else v + [fill] * (longest - len(v)) for v in vectors]
        return [call(*values) for values in zip(*even, strict=True)]

    return apply


ADD = by_value(lambda a, b: a + b)
MULTIPLY = by_value(lambda a, b: a * b)
DIVIDE = by_value(lambda a, b: a / b)
ABOVE = by_value(lambda a, b: float(a > b))
AND = by_value(lambda a, b: float(bool(a) and bool(b)))
OR = by_value(lambda a, b: float(bool(a) or bool(b)))
CHOOSE = by_value(lambda condition, yes, no: yes if condition else no)


def each(call: Callable[[float], float], vector: Vector) -> Vector:
    return [call(x) for x in vector]


# Vectors are filled up operation by operation: where two of different lengths meet.
def choose(fill: float, a: Vector, b: Vector) -> Vector:
    # Every operation fills up what is short there, so b * 2 - 1 is as long as b, and filled up after it.
    larger = by_value(lambda x, y: float(x > y))(fill, a, b)
    return by_value(lambda c, x, y: x if c else y)(fill, larger, a, [y * 2 - 1 for y in b])


def truth(fill: float, a: Vector, b: Vector) -> Vector:
    both = by_value(lambda x, y: float(bool(x) and bool(y)))(fill, a, b)
    odd = [float(x < 0 and math.isnan(x)) for x in a]
    return by_value(lambda x, y: float(bool(x) or bool(y)))(fill, both, odd)


FORMULAS: dict[str, Callable[..., Vector]] = {
    "a + b": ADD,
    "a > b ? a : b * 2 - 1": lambda fill, a, b: CHOOSE(fill, ABOVE(fill, a, b), a, each(lambda x: x * 2 - 1, b)),
    "dot(a, b) + len(a)": lambda fill, a, b: [sum(MULTIPLY(fill, a, b)) + len(a)],
    "reduce_max(a) - b ^ 2": lambda fill, a, b: [max(a) - x**2 for x in b],
    "sqrt(abs(a)) / (1 + b * b)": lambda fill, a, b: DIVIDE(
        fill, each(lambda x: math.sqrt(abs(x)), a), each(lambda x: 1 + x * x, b)
    ),
    "a && b || a < 0 & isnan(a)": lambda fill, a, b: OR(
        fill, AND(fill, a, b), each(lambda x: float(x < 0 and math.isnan(x)), a)
    ),
}


@dataclass
class Case:
    mode: str
    formula: str
    sparse: bool
    default: str
    width: int | None
    fill: float | None
    group: str
    length: int
    side: str
    layout: str
    types: dict[str, str] = field(default_factory=dict)
    cells: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "seq__f" if self.group == "grouped" else "f"

    def column(self, variable: str) -> str:
        return f"seq__{variable}" if self.group == "grouped" and self.is_sequence(variable) else variable

    def is_sequence(self, variable: str) -> bool:
        return bool(self.group) and (variable != "b" or self.side == "item")

    def text(self) -> str:
        body = f'feature_name: "f" expression: "{self.formula}" variables: "item:a" variables: "{self.side}:b"'
        body += f' default_value: "{self.default}" separator: ","'
        body += "" if self.width is None else f" value_dim: {self.width}"
        body += "" if self.fill is None else f" fill_missing: {self.fill}"
        if self.sparse:
            body += " embedding_dim: 4" + "".join(f" boundaries: {edge}" for edge in EDGES)
        if self.group == "grouped":
            inner = f"features {{ expr_feature {{ {body} }} }}"
            return f'sequence_feature {{ sequence_name: "seq" sequence_length: {self.length} {inner} }}'
        if self.group == "alone":
            return f"sequence_expr_feature {{ {body} sequence_length: {self.length} }}"
        return f"expr_feature {{ {body} }}"


def vector_of(slot: Any) -> Vector:
    if slot is None or slot == "":
        return []
    return [
        float(x) for x in (slot if isinstance(slot, list) else slot.split(",") if isinstance(slot, str) else [slot])
    ]


def slots_of(cell: Any, case: Case, variable: str) -> list[Vector]:
    if not case.is_sequence(variable):
        return [vector_of(cell)]
    elements = cell.split(";") if isinstance(cell, str) and cell else cell if isinstance(cell, list) else []
    return [vector_of(element) for element in elements[: case.length]] or [[]]


def result_of(a: Vector, b: Vector, case: Case) -> Vector:
    if not a or not b:
        return []
    made = FORMULAS[case.formula](math.nan if case.fill is None else case.fill, a, b)
    width = 1 if case.width is None else case.width
    made = made[:width] if width else made
    return made if case.fill is None else made + [case.fill] * (width - len(made))


def finish(made: Vector, default: Vector, case: Case) -> Vector:
    made = made or default
    if case.sparse:
        # NaN is sorted behind every number.
        return [sum(math.isnan(x) or edge <= np.float32(x) for edge in EDGES) for x in made]
    if len(made) != (case.width or 1):
        raise Refused(made)
    return made


def oracle(case: Case) -> tuple[Vector, list[int], list[int]]:
    """Values, lengths per slot, elements per row."""
    default_text = case.default or ("0" if case.group else "")
    default = [float(part) for part in default_text.split(",") if part] * (case.width or 1)
    values: Vector = []
    lengths, rows = [], []
    for cells in zip(*case.cells.values(), strict=True):
        row = {name: slots_of(cell, case, name) for name, cell in zip(case.cells, cells, strict=True)}
        if "f" in row:
            made = row["f"]
        else:
            a, b = row["a"], row["b"] if case.is_sequence("b") else row["b"] * len(row["a"])
            if len(a) != len(b):
                raise Refused(cells)
            made = [result_of(x, y, case) for x, y in zip(a, b, strict=True)]
        rows.append(len(made))
        for slot in made:
            finished = finish(slot, default, case)
            lengths.append(len(finished))
            values += finished
    return values, lengths, rows


def cells_of(case: Case, variable: str) -> st.SearchStrategy[Any]:
    number = st.sampled_from(NUMBERS)
    size = (case.width or 1, case.width or 1) if variable == "f" else (1, 3)
    written = st.lists(number.map(lambda x: f"{x:g}"), min_size=size[0], max_size=size[1]).map(",".join)
    vector = st.lists(number, min_size=size[0], max_size=size[1])
    if case.is_sequence(variable):
        kinds: dict[str, Any] = {
            "string": st.lists(written | st.just(""), max_size=3).map(";".join),
            "list<string>": st.lists(st.none() | written, max_size=3),
            "list<double>": st.lists(st.none() | number, max_size=3),
            "list<list<double>>": st.lists(st.none() | vector | st.just([]), max_size=3),
        }
    else:
        kinds = {"string": written | st.just(""), "list<double>": vector | st.just([]), "double": number}
    return st.none() | kinds[case.types[variable]]


def types_of(case: Case, variable: str) -> list[str]:
    if case.is_sequence(variable):
        single = [] if variable == "f" and (case.width or 1) > 1 else ["list<double>"]
        return ["string", "list<string>", "list<list<double>>", *single]
    return ["string", "list<double>"] + (["double"] if variable != "f" or (case.width or 1) == 1 else [])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sparse = draw(st.booleans())
    case = Case(
        mode=draw(st.sampled_from(["FG_NORMAL", "FG_DAG", "FG_BUCKETIZE"])),
        formula=draw(st.sampled_from(sorted(FORMULAS))),
        sparse=sparse,
        default=draw(st.sampled_from(["", "1"])),
        width=draw(st.sampled_from([None, 1, 2, 3, 0] if sparse else [None, 1, 2, 3])),
        fill=draw(st.sampled_from([None, 7.0])),
        group=draw(st.sampled_from(["", "grouped", "alone"])),
        length=draw(st.sampled_from([2, 50])),
        side=draw(st.sampled_from(["item", "user"])),
        layout=draw(st.sampled_from(LAYOUTS)),
    )
    rows = draw(st.integers(1, 5))
    for variable in ("f",) if case.mode == "FG_BUCKETIZE" else ("a", "b"):
        case.types[variable] = draw(st.sampled_from(types_of(case, variable)))
        case.cells[variable] = draw(st.lists(cells_of(case, variable), min_size=rows, max_size=rows))
    if draw(st.booleans()) and case.is_sequence("a") and "b" in case.cells and case.side == "item":
        # Sequences of equal lengths, which two drawn at random seldom have.
        case.types["b"], case.cells["b"] = case.types["a"], case.cells["a"]
    return case


def check(make_features, other_layout, case: Case) -> None:
    types = {"string": pa.string(), "double": pa.float64(), "list<string>": pa.list_(pa.string())}
    types |= {"list<double>": pa.list_(pa.float64()), "list<list<double>>": pa.list_(pa.list_(pa.float64()))}
    columns = {
        case.column(v): other_layout(pa.array(case.cells[v], types[case.types[v]]), case.layout) for v in case.cells
    }
    width = case.width or 1
    features = make_features(case.mode, case.text())
    try:
        values, lengths, rows = oracle(case)
    except Refused:
        with pytest.raises(DataError, match=r"feature '(seq__)?f'"):
            features.generate(pa.record_batch(columns))
        return
    made = features.generate(pa.record_batch(columns))[case.name]
    np.testing.assert_allclose(np.ravel(made.values), values, rtol=2e-6)
    if case.group:
        assert made.seq_lengths.tolist() == rows
    if case.sparse:
        assert (made.key_lengths if case.group else made.lengths).tolist() == lengths
    else:
        assert made.values.shape == (len(lengths), width)


@given(cases())
@settings(max_examples=200, deadline=None)
def test_batches_equal_the_oracle(make_features, other_layout, case: Case):
    check(make_features, other_layout, case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=2000, deadline=None)
def test_many_batches_equal_the_oracle(make_features, other_layout, case: Case):
    check(make_features, other_layout, case)


def test_a_formula_reads_other_features_and_constants(make_features):
    features = make_features(
        "FG_DAG",
        'raw_feature { feature_name: "price" expression: "item:price" }',
        'expr_feature { feature_name: "half" expression: "price / 2" variables: "feature:price" stub_type: true }',
        'expr_feature { feature_name: "f" expression: "half * 10 + k" variables: "feature:half" variables: "user:k" '
        'variables: "const:4" }',
    )
    made = features.generate(pa.record_batch({"price": [3.0, None], "k": ["1", "2"]}))
    assert made["f"].values.tolist() == [[16.0], [2.0]]


def test_elements_see_numbers_of_their_row(make_features):
    group = 'sequence_feature {{ sequence_name: "click" sequence_length: 9 features {{ expr_feature {{ {} }} }} }}'
    body = 'feature_name: "age" expression: "now - time" variables: "user:now" variables: "item:time"'
    features = make_features("FG_DAG", group.format(f'{body} default_value: "-1"'))
    made = features.generate(pa.record_batch({"now": [100, 200], "click__time": ["90;;80", "150"]}))["click__age"]
    assert made.values.ravel().tolist() == [10, -1, 20, 50]
    assert made.seq_lengths.tolist() == [3, 1]
    assert features.input_columns == ("now", "click__time")


@pytest.mark.parametrize(
    ("expression", "variables", "problem"),
    [
        ("a + bb", "ab", "feature 'f': formula 'a + bb': unknown name 'bb'; did you mean 'b'? at position 5"),
        ("sun(a)", "a", "unknown function 'sun'; did you mean 'sum'? at position 1"),
        ("a +", "a", "expected a value, found 'end of the formula' at position 4"),
        ("a", "aa", "variable 'a' is given twice"),
    ],
)
def test_config_errors(make_features, expression, variables, problem):
    given_variables = " ".join(f'variables: "user:{name}"' for name in variables)
    with pytest.raises(ConfigError) as caught:
        make_features("FG_NORMAL", f'expr_feature {{ feature_name: "f" expression: "{expression}" {given_variables} }}')
    assert problem in str(caught.value)


def test_data_errors_name_feature_column_and_row(make_features):
    features = make_features(
        "FG_NORMAL", 'expr_feature { feature_name: "f" expression: "a+b" variables: "user:a" variables: "item:b" }'
    )
    with pytest.raises(DataError, match=r"feature 'f', column 'b', row 2.*'x' is not a number"):
        features.generate(pa.record_batch({"a": [1, 2, 3], "b": ["1", None, "x"]}))
    with pytest.raises(DataError, match="feature 'f', column 'b': there is no such column"):
        features.generate(pa.record_batch({"a": [1]}))


def test_a_short_result_is_an_error_without_fill_missing(make_features):
    features = make_features(
        "FG_NORMAL",
        'expr_feature { feature_name: "f" expression: "a" variables: "user:a" value_dim: 3 '
        'default_value: "1\\x1d2\\x1d3" }',
    )
    assert features.generate(pa.record_batch({"a": [[7.0, 8.0, 9.0, 10.0], None]}))["f"].values.tolist() == [
        [7, 8, 9],
        [1, 2, 3],
    ]
    with pytest.raises(DataError, match=r"column 'a', row 1.*2 numbers where value_dim is 3"):
        features.generate(pa.record_batch({"a": [[7.0, 8.0, 9.0], [1.0, 2.0]]}))
