"""Training, resuming, fine-tuning and evaluating in this process."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tzx.runtime.errors import DataError, UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.protos import data_pb2
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.jobs import TrainOptions, evaluate_checkpoint, train
from tzx.runtime.training.tensor_files import load_unsharded


def results(model_dir):
    return [json.loads(line) for line in (model_dir / "train_eval_result_v2.txt").read_text().splitlines()]


def weights(config, checkpoint):
    model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    load_unsharded(checkpoint, model)
    return model.state_dict()


def test_training_learns_and_leaves_everything_in_the_model_dir(config, root):
    train(config, TrainOptions())
    run = root / "run"
    assert [p.name for p in ckpt.committed_checkpoints(run)] == [f"model.ckpt-{s}" for s in (15, 30, 45, 50)]
    lines = results(run)
    assert [line["global_step"] for line in lines] == [15, 30, 45, 50]
    assert lines[-1]["auc"] > 0.82 and lines[-1]["auc"] > lines[0]["auc"]
    assert (run / "pipeline.config").is_file()
    assert list(run.glob("events.out.tfevents.*")) and list((run / "eval_val").glob("events.out.tfevents.*"))
    plan = json.loads((run / "model.ckpt-50" / "plan").read_text())
    assert {t["sharding_type"] for tables in plan.values() for t in tables.values()} == {"table_wise"}


def test_evaluating_a_checkpoint_gives_what_training_reported(config, root):
    train(config, TrainOptions())
    metrics = evaluate_checkpoint(config, None, "eval_result.txt")
    assert metrics["auc"] == pytest.approx(results(root / "run")[-1]["auc"], abs=1e-9)
    older = evaluate_checkpoint(config, str(root / "run" / "model.ckpt-15"), "older.txt")
    assert older["auc"] == pytest.approx(results(root / "run")[0]["auc"], abs=1e-9)
    assert json.loads((root / "run" / "older.txt").read_text())["global_step"] == 15


def test_bad_values_are_told_and_kept_with_the_results(config, root, caplog):
    for path, bad in (("train0", 30), ("eval", 4)):
        table = pq.read_table(root / f"{path}.parquet")
        users = [str(user) if at >= bad else "?" for at, user in enumerate(table["user"].to_pylist())]
        pq.write_table(table.set_column(0, "user", pa.array(users)), root / f"{path}.parquet")
    train1 = pq.read_table(root / "train1.parquet")
    pq.write_table(train1.set_column(0, "user", train1["user"].cast(pa.string())), root / "train1.parquet")
    config.data_config.bad_value_policy = data_pb2.BAD_VALUE_DEFAULT
    with caplog.at_level("WARNING", "tzx"):
        train(config, TrainOptions())
        evaluate_checkpoint(config, None, "eval_result.txt")
    lines = results(root / "run")
    assert lines[-1]["bad_values"] == {"train": {"user": 60}, "eval": {"user": 4}}
    assert lines[0]["bad_values"]["train"]["user"] <= 30 and lines[0]["bad_values"]["eval"] == {"user": 4}
    assert json.loads((root / "run" / "eval_result.txt").read_text())["bad_values"] == {"eval": {"user": 4}}
    assert "bad values taken as missing so far: 60 of user" in caplog.text


@pytest.mark.parametrize("stop", [10, 25, 33])
def test_continuing_equals_never_having_stopped(config, root, stop):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 40
    config.eval_input_path = ""
    train(config, TrainOptions())
    whole = weights(config, root / "run" / "model.ckpt-40")
    config.model_dir = str(root / "resumed")
    config.train_config.num_steps = stop
    train(config, TrainOptions())
    config.train_config.num_steps = 40
    train(config, TrainOptions(continue_train=True))
    resumed = weights(config, root / "resumed" / "model.ckpt-40")
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_a_second_run_refuses_to_overwrite(config, root):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 3
    train(config, TrainOptions())
    with pytest.raises(UserError, match=r"already holds a checkpoint; pass --continue_train"):
        train(config, TrainOptions())
    assert [p.name for p in ckpt.committed_checkpoints(root / "run")] == ["model.ckpt-3"]


def test_checkpoints_of_another_program_are_not_overwritten(config, root):
    theirs = root / "run" / "model.ckpt-3" / "model"
    theirs.mkdir(parents=True)
    for continuing in (False, True):
        with pytest.raises(UserError, match=r"model\.ckpt-3 was not made by tzx .* another --model_dir"):
            train(config, TrainOptions(continue_train=continuing))
    (theirs.parent / "WRITING").touch()  # a torn one of our own
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 3
    train(config, TrainOptions())
    assert ckpt.latest_checkpoint(root / "run") == theirs.parent


def test_fine_tuning_takes_mapped_parameters_and_counts_from_zero(config, root):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 5
    train(config, TrainOptions())
    source = weights(config, root / "run" / "model.ckpt-5")
    name = next(n for n in source if n.endswith("user_emb.weight"))
    config.feature_configs[0].id_feature.embedding_name = "renamed_emb"
    (root / "map.txt").write_text(f"{name.replace('user_emb', 'renamed_emb')}\t{name}\n")
    config.train_config.fine_tune_checkpoint = str(root / "run")
    config.train_config.fine_tune_ckpt_param_map = str(root / "map.txt")
    config.train_config.sparse_optimizer.adagrad_optimizer.lr = 0.0
    config.train_config.num_steps = 1
    config.model_dir = str(root / "tuned")
    train(config, TrainOptions())
    tuned = weights(config, root / "tuned" / "model.ckpt-1")
    assert torch.equal(tuned[name.replace("user_emb", "renamed_emb")], source[name])


def test_frozen_tables_do_not_move(config, root):
    config.train_config.ClearField("num_epochs")
    config.feature_configs[0].id_feature.trainable = False
    config.train_config.num_steps = 1
    train(config, TrainOptions())
    config.train_config.num_steps = 10
    train(config, TrainOptions(continue_train=True))
    early, late = (weights(config, root / "run" / f"model.ckpt-{s}") for s in (1, 10))
    moved = {name: not torch.equal(early[name], late[name]) for name in early if "_emb.weight" in name}
    assert moved == {name: "item" in name for name in moved} and len(moved) == 2


def test_moving_average_clipping_accumulation_and_parts_train_and_resume(config, root):
    options = config.train_config
    options.ClearField("num_epochs")
    options.dense_optimizer.ema.decay = 0.5
    options.gradient_accumulation_steps = 2
    options.grad_clipping.clipping_type = "norm"
    options.grad_clipping.max_gradient = 0.1
    part = options.dense_optimizer.part_optimizers.add()
    part.regex_pattern = ".*bias"
    part.sgd_optimizer.lr = 0.01
    options.num_steps = 30
    train(config, TrainOptions())
    whole = results(root / "run")[-1]
    config.model_dir = str(root / "resumed")
    for steps in (16, 30):
        options.num_steps = steps
        train(config, TrainOptions(continue_train=steps == 30))
    assert results(root / "resumed")[-1] == whole


def test_the_norm_that_is_clipped_is_that_of_all_parameters_whichever_optimizer_they_have(config, root):
    options = config.train_config
    options.ClearField("num_epochs")
    options.num_steps = 5
    options.grad_clipping.clipping_type = "norm"
    options.grad_clipping.max_gradient = 0.01
    options.dense_optimizer.sgd_optimizer.lr = 0.5
    train(config, TrainOptions())
    for pattern in (".*bias", "model.deep.*"):
        part = options.dense_optimizer.part_optimizers.add()
        part.regex_pattern = pattern
        part.sgd_optimizer.lr = 0.5
    config.model_dir = str(root / "parts")
    train(config, TrainOptions())
    whole, parts = (weights(config, root / name / "model.ckpt-5") for name in ("run", "parts"))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-5, atol=1e-7, msg=name)


def test_a_gradient_scaler_changes_nothing_that_is_learned(config, root):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 3
    config.train_config.sparse_optimizer.sgd_optimizer.lr = 0.1
    train(config, TrainOptions())
    plain = weights(config, root / "run" / "model.ckpt-3")
    config.model_dir = str(root / "scaled")
    config.train_config.grad_scaler.init_scale = 1024
    train(config, TrainOptions())
    scaled = weights(config, root / "scaled" / "model.ckpt-3")
    for name, tensor in plain.items():
        torch.testing.assert_close(scaled[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_initial_accumulators_slow_the_first_step(config, root):
    def first_step(value, where):
        config.train_config.sparse_optimizer.adagrad_optimizer.initial_accumulator_value = value
        config.model_dir = str(root / where)
        train(config, TrainOptions())
        return weights(config, root / where / "model.ckpt-1")

    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 1
    plain, slowed = first_step(0.0, "a"), first_step(100.0, "b")
    name = next(n for n in plain if n.endswith("user_emb.weight"))
    assert (plain[name] - slowed[name]).abs().max() > 0.1


def test_an_empty_data_set_is_an_error_not_an_endless_loop(config, root):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 3
    config.data_config.drop_remainder = True
    config.data_config.batch_size = 100_000
    with pytest.raises(DataError, match="without a single batch"):
        train(config, TrainOptions())


def test_tables_of_any_width_train_and_keep_their_width(config, root):
    config.feature_configs[0].id_feature.embedding_dim = 10
    config.feature_configs[1].id_feature.embedding_dim = 10
    config.model_config.deepfm.wide_embedding_dim = 1
    train(config, TrainOptions())
    assert results(root / "run")[-1]["auc"] > 0.8
    saved = weights(config, root / "run" / "model.ckpt-50")
    shapes = {name.split(".")[-2]: tuple(w.shape) for name, w in saved.items() if ".collection." in name}
    assert shapes["user_emb"] == (50, 10) and shapes["user_emb_wide"] == (50, 1)
