"""`tzx.apps.models` knows every model, and what it shows works."""

import json
from pathlib import Path

import pytest

from tzx.apps import models
from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.loading import draft_config
from tzx.runtime.config.model_pages import smallest_config
from tzx.runtime.errors import UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import available_models, build_model
from tzx.runtime.protos.model_pb2 import FeatureGroupType


def test_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main([]) is None
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.split(":")[0] for block in blocks] == list(CATALOG)
    assert sorted(CATALOG) == sorted(available_models())
    assert all(f"  {word}:" in block for block in blocks for word in ("groups", "paper", "fields"))


@pytest.mark.parametrize("name", ["xdeepfm", "xDeepFM"])
def test_shows_one_with_types_defaults_and_a_config(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    models.main([name])
    shown = capsys.readouterr().out
    for line in ("cin: required CIN", "  cin_layer_size: repeated uint32", "wide_embedding_dim: uint32 = 16"):
        assert f"    {line}\n" in shown
    assert shown.endswith(smallest_config(CATALOG["xDeepFM"]))


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    models.main(["dcn_v2", "--format", "json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["member"] == "dcn_v2" and found["groups"] == "the first group (DEEP)"
    assert found["fields"]["backbone"] == {"type": "MLP", "label": "optional"}
    low_rank = {"type": "uint32", "label": "optional", "default": "32"}
    assert found["fields"]["cross"]["fields"]["low_rank"] == low_rank


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no model 'DepFM'; did you mean \"DeepFM\""):
        models.main(["DepFM"])


@pytest.mark.parametrize("name", CATALOG)
def test_the_smallest_config_is_valid_and_builds(name: str) -> None:
    draft = draft_config(smallest_config(CATALOG[name]), "x.config")
    assert [problem.render() for problem in draft.report.problems] == []
    features = FeatureSet.from_config(draft.config.feature_configs, draft.config.data_config)
    model = build_model(draft.config, features)
    assert type(model).__name__ == name
    types = {group.name or "all": group.type for group in CATALOG[name].groups}
    for group, allowed in model.group_types().items():
        assert types[group] in [FeatureGroupType.Name(kind) for kind in allowed]


def test_the_table_in_the_docs_is_the_one_the_app_writes(capsys: pytest.CaptureFixture[str]) -> None:
    models.main(["--format", "markdown"])
    table = capsys.readouterr().out
    assert table in (Path(__file__).parents[2] / "docs" / "models.md").read_text(), (
        "run: python -m tzx.apps.models --format markdown"
    )
