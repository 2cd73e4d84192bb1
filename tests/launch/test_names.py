import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tzx.launch.names import job_name


@pytest.mark.parametrize(
    ("given_name", "subject", "expected"),
    [
        ("", "examples/deepfm_movielens.config", "train-deepfm-movielens"),
        ("", "oss://bucket/a/My Model.json", "train-my-model"),
        ("", None, "train"),
        ("Nightly Run #7", "x.config", "nightly-run-7"),
        ("7 days", None, "job-7-days"),
        ("", "x" * 99, "train-" + "x" * 34),
        ("???", None, "job"),
    ],
)
def test_names(given_name: str, subject: str | None, expected: str) -> None:
    assert job_name("train", given_name, subject) == expected


@given(st.text(), st.one_of(st.none(), st.text()))
def test_every_name_is_a_dns_label(given_name: str, subject: str | None) -> None:
    name = job_name("train", given_name, subject)
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name)
