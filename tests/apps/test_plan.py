"""The plan app: what it prints, that its plan can be used again, and what it says when tables do not fit."""

import json
import re

import pytest

from tzx.apps import plan

CONFIG = """
train_input_path: "none" eval_input_path: "none" model_dir: "none"
train_config {
  sparse_optimizer { adam_optimizer { lr: 0.1 } } dense_optimizer { sgd_optimizer { lr: 0.1 } } num_steps: 1
}
data_config { dataset_type: ParquetDataset batch_size: 1000 label_fields: "label" }
feature_configs { id_feature { feature_name: "user" expression: "user:user" num_buckets: 6000000 embedding_dim: 16
  embedding_constraints { sharding_types: "row_wise" } } }
feature_configs { id_feature { feature_name: "item" expression: "item:item" num_buckets: 100000 embedding_dim: 16
  embedding_constraints { sharding_types: "table_wise" } } }
feature_configs { id_feature { feature_name: "city" expression: "user:city" num_buckets: 500 embedding_dim: 16
  embedding_constraints { sharding_types: "data_parallel" } } }
model_config {
  feature_groups { group_name: "deep" feature_names: ["user", "item", "city"] group_type: DEEP }
  multi_tower { towers { input: "deep" mlp { hidden_units: [8] } } final { hidden_units: [4] } }
  losses { binary_cross_entropy {} }
}
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "a.config"
    path.write_text(CONFIG)
    return path


def as_json(capsys, *flags):
    assert plan.main([*map(str, flags), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_memory_and_traffic_are_what_the_shards_need(config_file, capsys):
    found = as_json(capsys, config_file, "--world-size", 4, "--local-world-size", 2, "--device", "gpu")
    tables = {t["name"]: t for t in found["tables"]}
    row = 16 * 4
    adam = 2 * row  # two moments
    assert tables["user_emb"]["bytes_by_rank"] == {str(rank): 1_500_000 * (row + adam) for rank in range(4)}
    (owner,) = tables["item_emb"]["bytes_by_rank"]
    assert tables["item_emb"]["bytes_by_rank"][owner] == 100_000 * (row + adam)
    assert tables["city_emb"]["bytes_by_rank"] == {str(rank): 500 * (row + adam) for rank in range(4)}
    for rank in found["ranks"]:
        owns_item = rank["rank"] == int(owner)
        assert rank["table_bytes"] == (1_500_500 + 100_000 * owns_item) * (row + adam)
    # ids go to three of four ranks; sums, or parts of them, and their gradients come back
    assert tables["item_emb"]["sent_per_step"] == 1000 * 8 * 3 / 4 + 2 * 1000 * row * 3 / 4
    assert tables["user_emb"]["sent_per_step"] == 1000 * 8 * 3 / 4 + 2 * 1000 * row * 3
    assert tables["city_emb"]["sent_per_step"] == 2 * 500 * (row + 4) * 3 / 4
    assert found["sent_per_step"] == sum(t["sent_per_step"] for t in found["tables"]) + found["dense_sent_per_step"]


def test_a_printed_plan_is_used_again_and_kept_in_part_by_other_processes(config_file, tmp_path, capsys, caplog):
    first = as_json(capsys, config_file, "--world-size", 4)
    (tmp_path / "plan.json").write_text(json.dumps(first))
    use = ("--set", f"train_config.sharding_planner.plan_file={tmp_path / 'plan.json'}")
    assert as_json(capsys, config_file, "--world-size", 4, *use) == first
    other = as_json(capsys, config_file, "--world-size", 2, *use)
    types = [{t["name"]: t["sharding_type"] for t in found["tables"]} for found in (first, other)]
    assert types[0] == types[1]
    assert "its sharding types are kept, places are not" in caplog.text


def test_the_tables_are_for_reading(config_file, capsys):
    assert plan.main(["--config", str(config_file), "--world-size", "2"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"user_emb +6,000,000 +16 +row_wise +fused +0-1 +1\.1 GiB", text)
    assert "15% kept free" in text and "each process sends about" in text


def test_what_does_not_fit_is_named_with_what_it_needs(config_file, capsys):
    from tzx.runtime.errors import ConfigError

    flags = [str(config_file), "--world-size", "2", "--set", "train_config.sharding_planner.host_memory_gib=1"]
    with pytest.raises(ConfigError) as caught:
        plan.main(flags)
    message = str(caught.value)
    assert re.search(r"do not fit on 2 process\(es\), each of which has 0\.4\d GiB", message)
    assert "user_emb: 6,000,000 rows x 16, at least 0.54 GiB on every rank (row_wise)" in message
    assert message.index("user_emb") < message.index("item_emb") and "host_memory" not in message.split("\n")[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name one config file"),
        (["a.config", "--world-size", "3", "--local-world-size", "2"], "--world-size 3 must be a positive multiple"),
    ],
)
def test_flags_that_do_not_go_together(flags, message, capsys):
    with pytest.raises(SystemExit) as left:
        plan.main(flags)
    assert left.value.code == 2 and message in capsys.readouterr().err
