"""Training with tables that grow with the data: exact resuming, any number of ranks, miss rows, metrics."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from torchrec.distributed.planner.types import ParameterConstraints

from tzx.runtime.config import parse_text
from tzx.runtime.embedding.dynamic.initial import Initial, initial_rows
from tzx.runtime.errors import ConfigError, UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models.registry import build_model
from tzx.runtime.serving.export import export_bundle
from tzx.runtime.training.id_maps import Block, restrict
from tzx.runtime.training.jobs import TrainOptions, evaluate_checkpoint, train
from tzx.runtime.training.tensor_files import load_tensors, read_metadata

WORKER = Path(__file__).with_name("id_maps_worker.py")
USERS = "zch { zch_size: 40 lfu {} eviction_interval: 2 }"
ITEMS = "dynamicemb { max_capacity: 48 frequency_admission_strategy { threshold: 3 } }"


@pytest.fixture
def dynamic_text(config_text):
    """The config of the data set with tables that have fewer rows than there are ids."""
    return config_text.replace("num_buckets: 50", USERS).replace("hash_bucket_size: 64", ITEMS)


@pytest.fixture
def dynamic(dynamic_text):
    return parse_text(dynamic_text, "test.config")


def train_to(config, steps, **options):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = steps
    train(config, TrainOptions(**options))


def saved_tensors(checkpoint):
    """Every tensor of a checkpoint by folder and name."""
    found = {}
    for folder in ("model", "optimizer", "id_maps"):
        entries = read_metadata(checkpoint / folder).state_dict_metadata
        tensors = {name: torch.empty(tuple(e.size), dtype=e.properties.dtype) for name, e in entries.items()}
        assert load_tensors(checkpoint / folder, tensors) == []
        found |= {(folder, name): tensor for name, tensor in tensors.items()}
    return found


@pytest.mark.parametrize("optimizer", ["adagrad_optimizer", "adam_optimizer"])
def test_resuming_is_exact(dynamic_text, root, optimizer):
    dynamic = parse_text(dynamic_text.replace("adagrad_optimizer", optimizer), "test.config")
    dynamic.eval_input_path = ""
    train_to(dynamic, 12)
    whole = saved_tensors(root / "run" / "model.ckpt-12")
    assert whole["id_maps", "user_emb/live/counts"].count_nonzero() == 39
    assert whole["id_maps", "item_emb/waiting/counts"].shape == (48,)
    dynamic.model_dir = str(root / "resumed")
    train_to(dynamic, 7)
    train_to(dynamic, 12, continue_train=True)
    resumed = saved_tensors(root / "resumed" / "model.ckpt-12")
    assert whole.keys() == resumed.keys()
    assert [key for key, tensor in whole.items() if not torch.equal(tensor, resumed[key])] == []


def test_workers_do_not_change_what_is_learnt(dynamic, root):
    dynamic.eval_input_path = ""
    train_to(dynamic, 6)
    dynamic.model_dir = str(root / "workers")
    dynamic.data_config.num_workers = 2
    train_to(dynamic, 6)
    one, two = (saved_tensors(root / name / "model.ckpt-6") for name in ("run", "workers"))
    assert [key for key, tensor in one.items() if not torch.equal(tensor, two[key])] == []


def test_it_learns_logs_and_serves(dynamic, root, caplog):
    caplog.set_level("INFO", "tzx")
    train(dynamic, TrainOptions())
    auc = json.loads((root / "run" / "train_eval_result_v2.txt").read_text().splitlines()[-1])["auc"]
    assert auc > 0.8
    line = next(m for m in caplog.messages if "step 20 " in m)
    assert all(word in line for word in ("hit_rate 0.", "miss_rate 0.", "admitted ", "evicted ", "occupancy "))
    assert evaluate_checkpoint(dynamic, None, "again.txt")["auc"] == pytest.approx(auc, abs=1e-9)
    saved = saved_tensors(root / "run" / "model.ckpt-50")
    miss = next(t for (folder, name), t in saved.items() if folder == "model" and name.endswith("bags.item_emb.weight"))
    assert (miss[47] == 0).all() and (miss[:47] != 0).any(), "ids that are not admitted are 0 and stay so"
    parity = export_bundle(dynamic, None, root / "bundle").manifest.parity
    assert parity["rows"] == 1000 and parity["max_difference"]["probs"] < 1e-5


def test_scalars_of_each_map_are_on_the_board(dynamic, root):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    dynamic.eval_input_path = ""
    train_to(dynamic, 10)
    board = EventAccumulator(str(root / "run"))
    board.Reload()
    tags = board.Tags()["scalars"]
    assert {"ids/miss_rate", "ids/user_emb/evicted", "ids/item_emb/occupancy", "ids/item_emb/hit_rate"} <= set(tags)
    occupancy = board.Scalars("ids/user_emb/occupancy")
    assert (occupancy[-1].step, occupancy[-1].value) == (10, 1.0)


def test_ids_go_along_into_a_new_run(dynamic, dynamic_text, root):
    dynamic.eval_input_path = ""
    train_to(dynamic, 6)
    tuned = parse_text(dynamic_text.replace("/run", "/tuned"), "test.config")
    tuned.train_config.fine_tune_checkpoint = str(root / "run")
    tuned.eval_input_path = ""
    train_to(tuned, 1)
    before, after = (saved_tensors(root / at) for at in ("run/model.ckpt-6", "tuned/model.ckpt-1"))
    old, new = (set(found["id_maps", "item_emb/live/ids"].tolist()) for found in (before, after))
    assert len(old) == len(new) == 47 and len(old & new) > 35
    assert int(after["id_maps", "item_emb/live/last_steps"].max()) == 1, "steps count from the start of the run"


def test_a_checkpoint_without_ids_is_not_served(dynamic, config, root):
    config.eval_input_path = ""
    dynamic.feature_configs[0].id_feature.zch.zch_size = 50
    config.feature_configs[1].id_feature.hash_bucket_size = 48
    train_to(config, 2)
    with pytest.raises(UserError, match=r"does not fit this config: ids of user_emb \(not in the checkpoint\)"):
        export_bundle(dynamic, None, root / "bundle")


def test_tables_that_cannot_follow_are_refused(dynamic_text):
    text = dynamic_text.replace(USERS, f'{USERS} embedding_constraints {{ sharding_types: "data_parallel" }}')
    with pytest.raises(ConfigError, match=r"table 'user_emb_wide': sharding_types \['data_parallel'\] cannot hold"):
        train(parse_text(text, "test.config"), TrainOptions())


def test_rows_in_a_cache_cannot_be_renewed(dynamic):
    features = FeatureSet.from_config(dynamic.feature_configs, dynamic.data_config)
    tables = {"user_emb": build_model(dynamic, features).tables["user_emb"]}

    def cached() -> dict[str, ParameterConstraints]:
        return {"user_emb": ParameterConstraints(compute_kernels=["fused_uvm_caching"])}

    restrict(cached(), tables, "cpu")  # which has one kernel, so that a config for GPUs runs too
    with pytest.raises(ConfigError, match=r"compute_kernels \['fused_uvm_caching'\] .*use fused, fused_uvm"):
        restrict(cached(), tables, "cuda")


def test_a_block_starts_the_rows_that_it_has():
    weight, rowwise, full = torch.ones(4, 6), torch.ones(4), torch.ones(4, 6)
    block = Block(weight, 10, 8, ((rowwise, 0.0), (full, 0.5)))
    rows, ids = np.array([3, 12, 13, 14]), np.array([1, 2, 3, 4])
    initial = Initial("uniform", 2.0, 3.0)
    block.start(initial, 7, rows, ids)
    assert torch.equal(weight[2:], initial_rows(initial, ids[1:3], 7, range(8, 14)))
    assert rowwise.tolist() == [1, 1, 0, 0] and full[:, 0].tolist() == [1, 1, 0.5, 0.5]
    assert (weight[:2] == 1).all()
    block.set_row(11, -1.0)
    block.set_row(14, -2.0)
    assert weight[:, 0].tolist()[:2] == [1, -1] and rowwise[1] == 0 and (weight != -2).all()


@pytest.mark.slow
def test_every_id_moves_with_all_it_has_between_any_numbers_of_ranks(dynamic_text, root):
    """2 -> 1 -> 4 -> 2 ranks: what a run ends with is what the next one begins with."""
    sharded = {USERS: "row_wise", ITEMS: "table_wise"}
    for option, sharding in sharded.items():
        constraint = f'embedding_constraints {{ sharding_types: "{sharding}" }}'
        dynamic_text = dynamic_text.replace(option, f"{option} {constraint}")
    text = dynamic_text.replace("adagrad_optimizer { lr: 0.2 }", "rowwise_adagrad_optimizer { lr: 0.2 }")
    path = root / "test.config"
    path.write_text(text.replace("num_epochs: 2", "num_steps: 9"))
    moments = [run(path, world, steps) for world, steps in ((2, 6), (1, 10), (4, 13), (2, 16))]
    assert moments[0]["before"]["user_emb"]["live"] == 0
    for before, after in itertools.pairwise(moments):
        assert before["after"] == after["before"]
        assert after["after"] != after["before"]
    assert all(0 < found["live"] <= 47 for moment in moments for found in moment["after"].values())


def run(config: Path, world: int, steps: int) -> dict[str, dict[str, dict[str, object]]]:
    ended = warm.ranks([WORKER, config, f"train_config.num_steps={steps}", "eval_input_path="], world)
    assert [done.returncode for done in ended] == [0] * world, ended[0].stderr[-5000:]
    return json.loads(next(line for line in ended[0].stdout.splitlines() if line.startswith("{")))
