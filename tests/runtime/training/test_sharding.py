"""Constraints of tables, plans of GPUs made without one, and what ranks hear of a plan that fails."""

import json

import fsspec
import pytest
import warm
from google.protobuf import text_format

from tzx.runtime.embedding.cluster import GIB, Cluster
from tzx.runtime.embedding.plan_files import read_plan
from tzx.runtime.embedding.row_updates import RULES
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos.train_pb2 import ShardingPlanner
from tzx.runtime.training.planning import request_plan
from tzx.runtime.training.sharding import compute_plan, make_constraints


def cluster(world=4, device="cpu", text=""):
    return Cluster.from_config(text_format.Parse(text, ShardingPlanner()), world, min(world, 2), device)


def request(config, on):
    return request_plan(config, FeatureSet.from_config(config.feature_configs, config.data_config), on, training=True)


def types_of(config, on, rule="exact_adagrad"):
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    tables = request(config, on).tables
    made = make_constraints(tables, features.by_name, config.train_config, on, RULES[rule])
    return {name: constraint.sharding_types for name, constraint in made.items()}


def test_alone_tables_stay_whole(config):
    assert set(map(tuple, types_of(config, cluster(1)).values())) == {("table_wise",)}


def test_a_feature_overrides_the_global_constraints(config):
    config.train_config.global_embedding_constraints.sharding_types.extend(["row_wise"])
    config.feature_configs[0].id_feature.embedding_constraints.sharding_types.extend(["table_wise", "data_parallel"])
    found = types_of(config, cluster())
    assert (found["user_emb"], found["item_emb"]) == (["table_wise", "data_parallel"], ["row_wise"])


@pytest.mark.parametrize(
    ("rule", "splits"), [("exact_adagrad", True), ("exact_row_wise_adagrad", False), ("lamb", False)]
)
def test_columns_are_split_by_default_only_where_results_stay(config, rule, splits):
    config.feature_configs[0].id_feature.embedding_dim = config.feature_configs[1].id_feature.embedding_dim = 256
    assert ("column_wise" in types_of(config, cluster(), rule)["user_emb"]) == splits
    assert "column_wise" not in types_of(config, cluster(), rule)["user_emb_wide"]  # too narrow to split


def test_a_sequence_table_takes_of_global_types_those_it_can(din_config):
    config = din_config
    config.train_config.global_embedding_constraints.sharding_types.extend(["table_row_wise", "row_wise"])
    assert types_of(config, cluster())["item_emb"] == ["row_wise"]
    del config.train_config.global_embedding_constraints.sharding_types[:]
    config.train_config.global_embedding_constraints.sharding_types.append("grid_shard")
    with pytest.raises(ConfigError, match=r"table 'item_emb': sharding_types grid_shard cannot hold it.*row_wise"):
        types_of(config, cluster())


@pytest.fixture
def din_config(config):
    """The same data, with the item also as a sequence."""
    text = """feature_configs { sequence_id_feature { feature_name: "items" expression: "user:items" num_buckets: 64
      embedding_dim: 8 embedding_name: "item_emb" sequence_length: 20 } }"""
    config.feature_configs[1].id_feature.ClearField("hash_bucket_size")
    config.feature_configs[1].id_feature.num_buckets = 64
    text_format.Merge(text, config)
    text_format.Merge(
        'model_config { feature_groups { group_name: "seq" feature_names: ["item", "items"] group_type: SEQUENCE } }',
        config,
    )
    config.model_config.ClearField("deepfm")
    del config.model_config.feature_groups[:2]
    text_format.Merge(
        """model_config { multi_tower_din {
          towers { input: "deep" mlp { hidden_units: [8] } }
          din_towers { input: "seq" attn_mlp { hidden_units: [8] } } final { hidden_units: [4] } } }""",
        config,
    )
    return config


@pytest.mark.parametrize("kernel", ["fused_uvm", "fused_uvm_caching"])
def test_kernels_of_gpus_are_planned_without_one(config, kernel):
    constraints = config.train_config.global_embedding_constraints
    constraints.sharding_types.append("row_wise")
    constraints.compute_kernels.append(kernel)
    plan = compute_plan(request(config, cluster(device="cuda")))
    assert {s.compute_kernel for tables in plan.plan.values() for s in tables.values()} == {kernel}
    on_cpu = compute_plan(request(config, cluster()))  # the same config trains on CPU
    assert {s.compute_kernel for tables in on_cpu.plan.values() for s in tables.values()} == {"fused"}


def test_kernels_and_types_that_exclude_each_other_are_named(config):
    constraints = config.train_config.global_embedding_constraints
    constraints.sharding_types.append("data_parallel")
    constraints.compute_kernels.append("fused_uvm")
    with pytest.raises(ConfigError, match=r"compute_kernels fused_uvm do not go with sharding_types data_parallel"):
        request(config, cluster(device="cuda"))


def test_budgets_come_from_config_and_leave_out_reserve_and_dense_parameters():
    on = cluster(4, "cuda", "gpu_memory_gib: 10 reserve: 0.2 host_memory_gib: 64 inter_node_gib_per_s: 2")
    assert on.budget(GIB) == pytest.approx(7 * GIB)
    assert (on.inter_node, on.intra_node) == (2 * GIB, 600 * GIB)
    assert (
        cluster(4, "cpu", "host_memory_gib: 8 reserve: 0.25").budget(0) == 3 * GIB
    )  # two processes of a host share it
    assert cluster(4).host_bytes > GIB // 2  # this machine's


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "No such file"), ("[1]", "is not a sharding plan"), ('{"a": {"b": {}}}', "not a sharding")],
)
def test_a_file_that_is_no_plan_is_named(text, message, tmp_path):
    path = tmp_path / "plan"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_plan(str(path))


_FAILING = """
import sys, torch.distributed as dist
from tzx.runtime.config import load_config
from tzx.runtime.errors import ConfigError
from tzx.runtime.training.process import Process
from tzx.runtime.training.session import build_session
from tzx.runtime.training.settings import RunSettings
rank, meeting, config = int(sys.argv[1]), sys.argv[2], load_config(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
try:
    build_session(config, Process(rank=rank, local_rank=rank, world_size=2, local_world_size=2), RunSettings(), True)
except ConfigError as error:
    print(str(error))
"""


@pytest.mark.slow
def test_every_rank_hears_why_there_is_no_plan(config_text, root, tmp_path):
    small = "train_config { sharding_planner { host_memory_gib: 0.00001 }"
    (tmp_path / "small.config").write_text(config_text.replace("train_config {", small, 1))
    arguments = [tmp_path / "meeting", tmp_path / "small.config"]
    ranks = [warm.Popen(["-c", _FAILING, rank, *arguments]) for rank in range(2)]
    try:
        said = [rank.communicate(timeout=240)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert all("the embedding tables" in text for text in said), said
    said = [text[text.index("the embedding tables") :] for text in said]
    assert said[0] == said[1]
    assert "user_emb" in said[0] and "do not fit on 2 process(es)" in said[0]


def test_the_plan_of_a_checkpoint_can_be_changed_and_used_again(config_text, root):
    from tzx.apps.train import main

    text = config_text.replace("num_epochs: 2", "num_steps: 2 use_tensorboard: false")
    path = root / "test.config"
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("eval_input")))
    run = ["--config", str(path), "--set", "eval_input_path="]
    main(run)
    plan = json.loads((root / "run" / "model.ckpt-2" / "plan").read_text())
    tables = next(tables for tables in plan.values() if "user_emb" in tables)
    assert tables["user_emb"]["sharding_type"] == "table_wise"
    tables["user_emb"]["sharding_type"] = "row_wise"
    fsspec.filesystem("memory").pipe_file("/changed/plan", json.dumps(plan).encode())
    main([*run, "--model_dir", str(root / "again"), "--plan", "memory://changed/plan"])
    assert json.loads((root / "again" / "model.ckpt-2" / "plan").read_text()) == plan
