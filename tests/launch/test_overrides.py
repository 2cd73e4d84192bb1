import pytest
from hypothesis import given
from hypothesis import strategies as st

from tzx.launch.overrides import split_overrides


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("", []),
        ("a=1", ["a=1"]),
        ("train_config.num_steps=10,model_dir=m", ["train_config.num_steps=10", "model_dir=m"]),
        ("a=1, b=2 ,", ["a=1", "b=2"]),
        ("f.boundaries=[1,2,3],b=2", ["f.boundaries=[1,2,3]", "b=2"]),
        ("paths=a.csv,b.csv,c=1", ["paths=a.csv,b.csv", "c=1"]),
        ("a='x,y=1',b=2", ["a='x,y=1'", "b=2"]),
        ('a={"k": [1, {"x": 2}], "y": 3},b=2', ['a={"k": [1, {"x": 2}], "y": 3}', "b=2"]),
        (
            "feature_configs[0].id_feature.hash_bucket_size=7,x=1",
            ["feature_configs[0].id_feature.hash_bucket_size=7", "x=1"],
        ),
        ("feature_configs[feature_name=u].x=1,y=2", ["feature_configs[feature_name=u].x=1", "y=2"]),
        ("url=s3://b/k?a=1,b=2", ["url=s3://b/k?a=1", "b=2"]),
    ],
)
def test_splits_only_where_an_override_begins(text: str | None, expected: list[str]) -> None:
    assert split_overrides(text) == expected


_name = st.from_regex(r"[a-z_]{1,6}(\.[a-z_]{1,6})?", fullmatch=True)
_value = st.one_of(
    st.from_regex(r"[A-Za-z0-9./:-]{1,10}", fullmatch=True),
    st.lists(st.integers(), max_size=4).map(lambda v: "[" + ", ".join(map(str, v)) + "]"),
    st.from_regex(r"'[a-z ,=]{0,8}'", fullmatch=True),
)


@given(st.lists(st.tuples(_name, _value), min_size=1, max_size=5))
def test_joined_overrides_come_apart_again(pairs: list[tuple[str, str]]) -> None:
    overrides = [f"{name}={value}" for name, value in pairs]
    assert split_overrides(",".join(overrides)) == overrides
