"""A user's own operators: what they are handed, what they may return, and what goes wrong."""

import pickle

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.features import CustomOperator, register_operator
from tzx.runtime.features.operators.custom import user


class Scaled(CustomOperator):
    """Numbers times a factor; text by its length."""

    def __call__(self, *arrays: pa.Array) -> pa.Array:
        (array,) = arrays
        lengths = pc.utf8_length(array) if pa.types.is_large_string(array.type) else array
        return pc.multiply(lengths, self.params["factor"])


class Words(CustomOperator):
    lists = True

    def __call__(self, *arrays: pa.Array) -> pa.Array:
        self.seen = arrays
        return arrays[0]


class Whatever(CustomOperator):
    def __call__(self, *arrays: pa.Array) -> pa.Array:
        return self.params["returns"](*arrays)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(user, "_CLASSES", {})
    for name, cls in (("Scaled", Scaled), ("Words", Words), ("Whatever", Whatever)):
        register_operator(name, cls)


def config(name: str, rest: str = "", inputs: str = 'expression: "user:a"', kind: str = "custom_feature") -> str:
    return (
        f'{kind} {{ feature_name: "f" operator_name: "{name}" operator_lib_file: "none.so" {inputs} operator_params '
        f'{{ fields {{ key: "factor" value {{ number_value: 2 }} }} }} {rest} }}'
    )


def test_numbers_text_and_missing_values(run):
    assert run(config("Scaled"), a=[1.5, None]).values.tolist() == [[3], [0]]
    assert run(config("Scaled", 'default_value: "9"'), a=["裙子", "", None]).values.tolist() == [[4], [9], [9]]
    assert run(config("Scaled", 'normalizer: "method=minmax,min=0,max=8"'), a=[2]).values.tolist() == [[0.5]]


def test_text_is_not_split_unless_lists_are_asked_for(run, slots):
    assert run(config("Scaled"), a=["a\x1db"]).values.tolist() == [[6]]
    rest = 'separator: "," embedding_dim: 4 hash_bucket_size: 100 default_value: ""'
    made = run(config("Words", f"{rest} value_dim: 0"), a=["abc,efg", None, "hij"])
    assert slots(made) == [[33, 44], [], [66]]
    assert slots(run(config("Words", rest), a=[["abc", "efg"], None, ["hij"]])) == [[33], [], [66]]


def test_elements(run):
    made = run(config("Scaled", kind="sequence_custom_feature"), a=["a;;ccc", None])
    assert (made.values.ravel().tolist(), made.seq_lengths.tolist()) == ([2, 0, 6, 0], [3, 1])


def test_two_inputs_line_up(make_features):
    class Pick(CustomOperator):
        def __call__(self, *arrays: pa.Array) -> pa.Array:
            assert self.inputs == ("a", "b")
            assert arrays[0].to_pylist() == ["x", "x", None]
            assert arrays[1].to_pylist() == [1, 2, 3]
            return arrays[1]

    register_operator("Pick", Pick)
    member = config("Pick", inputs='expression: "user:a" expression: "item:b"')
    features = make_features(
        "FG_NORMAL", f'sequence_feature {{ sequence_name: "s" sequence_length: 5 features {{ {member} }} }}'
    )
    made = features.generate(pa.record_batch({"a": ["x", None], "s__b": [[1, 2], [3]]}))["s__f"]
    assert made.values.ravel().tolist() == [1, 2, 3]


def test_another_feature_reads_it_and_features_survive_pickling(make_features):
    features = make_features(
        "FG_DAG",
        config("Scaled", "stub_type: true"),
        'id_feature { feature_name: "g" expression: "feature:f" num_buckets: 50 embedding_dim: 4 }',
    )
    batch = pa.record_batch({"a": [3, 4]})
    assert features.generate(batch)["g"].values.tolist() == [6, 8]
    assert pickle.loads(pickle.dumps(features)).generate(batch)["g"].values.tolist() == [6, 8]


@pytest.mark.parametrize(
    ("returns", "problem"),
    [
        (lambda a: a[:1], "operator Whatever returned 1 values; an Arrow array of 2 is needed"),
        (lambda a: a.to_pylist(), "operator Whatever returned <class 'list'>"),
        (lambda a: pa.array([{"x": 1}, None]), "operator Whatever returned values of type struct"),
        (lambda a: 1 // 0, "operator Whatever: ZeroDivisionError"),
        (lambda a: pa.array([[1, 2], [3]]), None),
    ],
)
def test_what_a_class_may_return(run, monkeypatch, returns, problem):
    monkeypatch.setattr(Whatever, "__call__", lambda self, *arrays: returns(*arrays))
    if problem is None:
        assert run(config("Whatever"), a=[1, 2]).values.tolist() == [[1], [3]]
        return
    with pytest.raises(DataError) as caught:
        run(config("Whatever"), a=[1, 2])
    assert str(caught.value).startswith("feature 'f', column 'a'")
    assert problem in str(caught.value)


def test_lists_where_one_value_is_expected(run):
    with pytest.raises(DataError, match=r"column 'a', row 1.*2 values where Scaled takes one"):
        run(config("Scaled"), a=[[1], [1, 2]])


def test_unknown_names(make_features, monkeypatch):
    with pytest.raises(ConfigError) as caught:
        make_features("FG_NORMAL", config("Scald"))
    message = "feature 'f': operator_name 'Scald' is unknown; did you mean 'Scaled'?; there are EditDistance"
    assert message in str(caught.value)
    assert "register_operator('Scald', cls)" in str(caught.value)


def test_only_operators_register():
    with pytest.raises(ConfigError, match=r"register_operator\('X'\): <class 'int'> is not a subclass"):
        register_operator("X", int)
