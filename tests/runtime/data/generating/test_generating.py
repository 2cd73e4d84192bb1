"""Batches and weights made from generated files equal those made from the raw data, bit for bit."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from tzx.runtime.config import load_config
from tzx.runtime.data.generating import GeneratingOptions, generate_files
from tzx.runtime.data.loader import DataLoader, LoaderOptions
from tzx.runtime.errors import ConfigError, DataError, UserError
from tzx.runtime.features import FeatureSet


def generate(raw, target, sets=(), **options):
    """All ranks one after the other; returns the config to train with."""
    config = load_config(str(raw / "x.config"), sets)
    inputs = {"train": config.train_input_path, "eval": config.eval_input_path}
    ranks = options.pop("world_size", 1)
    given = GeneratingOptions(str(target), world_size=ranks, threads=2, **options)
    for rank in range(ranks):
        generate_files(config, inputs, replace(given, rank=rank))
    return load_config(str(target / "pipeline.config"))


def batches(config, mode="train", epoch=0):
    paths = config.train_input_path if mode == "train" else config.eval_input_path
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    options = LoaderOptions(mode=mode, seed=5, reserved_columns=("row",) if mode == "eval" else ())
    return list(DataLoader(config.data_config, features, paths, options).epoch(epoch))


def same_bits(one, other):
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes()


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for jagged in ("ids", "weighted_ids", "sequence_ids"):
            same_bits(getattr(a, jagged).values, getattr(b, jagged).values)
            same_bits(getattr(a, jagged).lengths, getattr(b, jagged).lengths)
        same_bits(a.weighted_ids.weights, b.weighted_ids.weights)
        same_bits(a.dense, b.dense)
        assert a.sequences.keys() == b.sequences.keys()
        for name, elements in a.sequences.items():
            same_bits(elements.values, b.sequences[name].values)
            same_bits(elements.seq_lengths, b.sequences[name].seq_lengths)
        same_bits(a.labels["label"], b.labels["label"])
        same_bits(a.sample_weights["w"], b.sample_weights["w"])


@pytest.mark.parametrize("form", ["none", "bucketize"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_shuffled_and_masked_batches_are_those_of_the_raw_data(raw, tmp_path, form, ranks):
    made = generate(raw, tmp_path / "out", form=form, world_size=ranks)
    raw_config = load_config(str(raw / "x.config"))
    for epoch in (0, 3):
        assert_same(batches(raw_config, epoch=epoch), batches(made, epoch=epoch))
    assert made.train_input_path.count("part-") == ranks


def test_event_times_are_kept_for_training(raw, tmp_path):
    made = generate(raw, tmp_path / "out", ["data_config.event_time_field=row"])
    times = [[batch.event_time for batch in batches(made, mode)] for mode in ("train", "eval")]
    assert times[0] and all(times[0]) and not any(times[1])


@pytest.mark.parametrize("form", ["none", "bucketize"])
def test_csv_holds_the_same(raw, tmp_path, form):
    made = generate(raw, tmp_path / "out", form=form, kind="csv", reserved_columns=("row",))
    raw_config = load_config(str(raw / "x.config"))
    one, other = batches(raw_config, "eval"), batches(made, "eval")
    assert_same(one, other)
    assert one[0].reserved.column("row").equals(other[0].reserved.column("row"))


def test_more_processes_than_row_groups_keep_every_row_in_order(raw, tmp_path):
    made = generate(raw, tmp_path / "out", world_size=11, reserved_columns=("row",))
    files = made.train_input_path.split(",")
    assert len(files) == 11
    rows = pa.concat_tables([pq.read_table(file) for file in files]).column("row")
    assert rows.to_pylist() == list(range(700))


def test_columns_are_lists_and_maps(raw, tmp_path):
    generate(raw, tmp_path / "a")
    schema = pq.read_schema(tmp_path / "a" / "train" / "part-0.parquet")
    assert schema.field("tags").type == pa.list_(pa.field("element", pa.int64()))
    assert pa.types.is_map(schema.field("liked").type) and pa.types.is_list(schema.field("interests").type)
    assert schema.field("price").type == pa.float32()
    assert "row" not in schema.names and {"label", "w"} <= set(schema.names) and "n" not in schema.names
    generate(raw, tmp_path / "b", form="bucketize", reserved_columns=("ALL_COLUMNS",))
    table = pq.read_table(tmp_path / "b" / "train" / "part-0.parquet")
    assert "row" in table.column_names
    words = pc.list_flatten(table["tags"])
    assert {"x;y", "\x03", "[1]"} <= set(words.to_pylist())


def trained_weights(config_file, model_dir):
    """What the train app leaves behind."""
    from tzx.apps import train
    from tzx.runtime.models import build_model
    from tzx.runtime.training.checkpoint import resolve_checkpoint
    from tzx.runtime.training.tensor_files import load_unsharded

    assert not train.main(["--config", str(config_file), "--model_dir", str(model_dir), "--seed", "7"])
    config = load_config(str(config_file))
    model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    load_unsharded(resolve_checkpoint(str(model_dir)), model)
    return model.state_dict()


@pytest.mark.slow
def test_training_ends_with_the_same_weights(raw, tmp_path):
    from tzx.apps import generate_features

    expected = trained_weights(raw / "x.config", tmp_path / "raw")
    for form in ("none", "bucketize"):
        target = tmp_path / form
        command = ["--config", str(raw / "x.config"), "--output_path", str(target), "--form", form]
        assert generate_features.main(command) == 0
        found = trained_weights(target / "pipeline.config", tmp_path / f"{form}_run")
        assert found.keys() == expected.keys()
        assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_nothing_is_overwritten_and_a_bad_row_leaves_no_part(raw, tmp_path):
    generate(raw, tmp_path / "out")
    with pytest.raises(UserError, match=r"pipeline\.config is there already"):
        generate(raw, tmp_path / "out")
    (tmp_path / "out" / "pipeline.config").unlink()
    with pytest.raises(UserError, match=r"part-0\.parquet is there already"):
        generate(raw, tmp_path / "out")
    bad = pq.read_table(raw / "eval.parquet")
    users = bad["user"].fill_null(0).to_pylist()
    users[77] = 50
    pq.write_table(bad.set_column(1, "user", pa.array(users)), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"feature 'user', column 'user', row 77 .*id 50 is out of range"):
        generate(raw, tmp_path / "bad", sets=[f"train_input_path={tmp_path}/bad.parquet"])
    assert [p.name for p in (tmp_path / "bad").rglob("*") if p.is_file()] == []


def test_what_the_form_cannot_hold_is_refused(raw, tmp_path):
    made = generate(raw, tmp_path / "out")
    options = GeneratingOptions(str(tmp_path / "again"), form="bucketize")
    with pytest.raises(ConfigError, match="holds final ids"):
        generate_files(made, {"train": made.train_input_path}, options)
    clash = ["data_config.label_fields=user"]
    with pytest.raises(ConfigError, match="column 'user' is to be kept"):
        generate(raw, tmp_path / "clash", sets=clash)
    config = load_config(str(raw / "x.config"))
    next(c for c in config.feature_configs if c.HasField("lookup_feature")).lookup_feature.use_mask = True
    with pytest.raises(ConfigError, match=r"feature 'n': use_mask does not work .* other features read it"):
        generate_files(config, {"train": config.train_input_path}, GeneratingOptions(str(tmp_path / "mask")))


def test_final_ids_are_written_again_as_they_were(raw, tmp_path):
    once = generate(raw, tmp_path / "once")
    options = GeneratingOptions(str(tmp_path / "twice"))
    generate_files(once, {"train": once.train_input_path}, options)
    files = [pq.read_table(tmp_path / name / "train" / "part-0.parquet") for name in ("once", "twice")]
    names = [name for name in files[0].column_names if name != "price"]
    assert files[0].select(names).equals(files[1].select(names))


def test_rows_without_labels(raw, tmp_path):
    table = pq.read_table(raw / "eval.parquet").drop_columns(["label", "w"])
    pq.write_table(table, tmp_path / "rows.parquet")
    config = load_config(str(raw / "x.config"))
    with pytest.raises(DataError, match="no column 'label'"):
        generate_files(config, {"eval": f"{tmp_path}/rows.parquet"}, GeneratingOptions(str(tmp_path / "a")))
    options = GeneratingOptions(str(tmp_path / "b"), labels=False)
    summary = generate_files(config, {"eval": f"{tmp_path}/rows.parquet"}, options)
    assert summary.rows == 120 and "label" not in pq.read_schema(summary.files[0]).names


@pytest.mark.parametrize("form", ["none", "bucketize"])
def test_bad_values_are_missing_where_the_config_says_so(raw, tmp_path, form):
    table = pq.read_table(raw / "eval.parquet")
    users = table["user"].fill_null(0).to_pylist()
    users[3], users[77] = 50, -1
    pq.write_table(table.set_column(1, "user", pa.array(users)), tmp_path / "bad.parquet")
    sets = [f"eval_input_path={tmp_path}/bad.parquet", "data_config.bad_value_policy=BAD_VALUE_DEFAULT"]
    config = load_config(str(raw / "x.config"), sets)
    options = GeneratingOptions(str(tmp_path / "out"), form=form, reserved_columns=("row",))
    summary = generate_files(config, {"eval": config.eval_input_path}, options)
    assert summary.bad_values == {"user": 2}
    made = load_config(summary.config, [f"train_input_path={summary.files[0]}"])
    assert_same(batches(config, "eval"), batches(made, "eval"))
