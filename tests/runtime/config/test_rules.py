"""Every rule has a sample and says about it what is written beside it; good configs leave all rules silent."""

from pathlib import Path

import pytest
from rule_findings import FOLDER, SCREENS, findings, screen

from tzx.runtime.config.checks import RULES
from tzx.runtime.config.loading import draft_config, read_config
from tzx.runtime.errors import ConfigError

GOOD = sorted(Path(__file__).with_name("good").glob("*.config"))
EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.config"))


@pytest.mark.parametrize("rule", sorted(RULES))
def test_sample(rule: str):
    expected = (FOLDER / f"{rule}.txt").read_text()
    assert expected.strip(), f"the sample of {rule} does not break it"
    assert findings(rule) == expected


@pytest.mark.parametrize("path", SCREENS, ids=lambda path: path.name)
def test_whole_screen(path: Path):
    with pytest.raises(ConfigError) as raised:
        draft_config(path.read_text(), path.name).report.raise_errors(path.name)
    assert str(raised.value) + "\n" == screen(path) == path.with_suffix(".txt").read_text()


def test_each_rule_has_a_sample_and_a_docstring():
    assert {path.stem for path in FOLDER.glob("*.config")} == set(RULES)
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(RULES)
    assert all(rule.check.__doc__ for rule in RULES.values())
    assert len(RULES) >= 30


@pytest.mark.parametrize("path", [*GOOD, *EXAMPLES], ids=lambda path: path.name)
def test_good_configs_are_left_alone(path: Path):
    draft = read_config(str(path))
    assert [problem.render() for problem in draft.report.problems] == []


def test_rules_wait_for_names_they_look_up(tmp_path: Path):
    """A misspelt feature_name is one problem, not one more for each group that lists the feature."""
    text = """
    train_input_path: "a" eval_input_path: "" model_dir: "m"
    feature_configs { id_feature { feature_nme: "user_id" expression: "user:id" num_buckets: 9 embedding_dim: 8 } }
    model_config {
      feature_groups { group_name: "deep" feature_names: "user_id" group_type: DEEP }
      multi_tower { towers { input: "deep" } final { hidden_units: 4 } }
      losses { binary_cross_entropy {} }
    }
    data_config { dataset_type: ParquetDataset label_fields: "clk" }
    """
    path = tmp_path / "a.config"
    path.write_text(text)
    assert [problem.message for problem in read_config(str(path)).report.errors] == [
        'IdFeature has no field "feature_nme"; did you mean "feature_name"?'
    ]


def test_rules_go_on_beside_a_harmless_mistake(tmp_path: Path):
    """A misspelt number hides no name, so that the unknown feature is told in the same run."""
    path = tmp_path / "a.config"
    path.write_text(
        'feature_configs { id_feature { feature_name: "user_id" num_bukets: 9 } }\n'
        'model_config { feature_groups { group_name: "deep" feature_names: "usr_id" } }\n'
    )
    messages = [problem.message for problem in read_config(str(path)).report.errors]
    assert 'IdFeature has no field "num_bukets"; did you mean "num_buckets"?' in messages
    assert 'no feature is called "usr_id"; did you mean "user_id"?' in messages
