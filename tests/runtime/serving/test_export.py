"""What export writes, what it checks before, and what it leaves behind when it fails."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import tzx
from tzx.runtime.config import dump_config, parse_text
from tzx.runtime.errors import ConfigError, DataError, StorageError, UserError
from tzx.runtime.serving import export, export_bundle
from tzx.runtime.serving.export import ExportOptions
from tzx.runtime.serving.manifest import describe_files, read_manifest
from tzx.runtime.serving.parity import ParityError
from tzx.runtime.serving.trained import choose_checkpoint, load_trained
from tzx.runtime.training.checkpoint import Snapshot, commit


def test_contents_of_a_bundle(bundles, data):
    bundle = bundles("multi_tower_din")
    files = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assets = {name for name in files if name.startswith("assets/")}
    wanted = {"model.pt2", "weights.safetensors", "pipeline.config", "features.json", "manifest.json"}
    assert files - assets == wanted
    assert len(assets) == 1, "two features read the same vocabulary; it is stored once"
    manifest = read_manifest(bundle)
    assert manifest.files == describe_files(bundle)
    assert manifest.created_by == {"tzx": tzx.__version__, "torch": torch.__version__}
    assert manifest.parity["rows"] == 300
    assert set(manifest.parity["max_difference"]) == {"logits", "probs"}
    assert max(manifest.parity["max_difference"].values()) <= manifest.parity["tolerance"] == 1e-5


def test_config_of_a_bundle_differs_by_its_assets_only(bundles, data):
    ours = parse_text((bundles("multi_tower_din") / "pipeline.config").read_text())
    theirs = data.config("multi_tower_din")
    for config in (ours, theirs):
        for feature in config.feature_configs:
            feature.id_feature.ClearField("vocab_file")
            for part in feature.sequence_feature.features:
                part.id_feature.ClearField("vocab_file")
    assert dump_config(ours) == dump_config(theirs)
    assert ours.train_input_path == str(data.root / "train.parquet")


def test_features_json_says_what_to_send(bundles):
    described = json.loads((bundles("multi_tower_din") / "features.json").read_text())
    columns = ["user", "item", "tags", "likes", "price", "shape", "clicks__item", "clicks__price"]
    assert sorted(described["input_columns"]) == sorted(columns)
    kinds = {f["name"]: (f["kind"], f["sequence"], f["sparse"], f["value_dim"]) for f in described["features"]}
    assert kinds["shape"] == ("raw_feature", False, False, 2)
    assert kinds["clicks__item"][1:3] == (True, True)
    assert described["tensors"][0] == "dense"
    assert "sequence.clicks__price.positions" in described["tensors"]


def test_an_existing_directory_is_left_alone(data, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="mine already exists"):
        export_bundle(data.config("deepfm"), None, tmp_path / "mine", trained=data.trained("deepfm"))
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_url_is_no_place_for_a_bundle(data):
    with pytest.raises(UserError, match="written to a local directory"):
        export_bundle(data.config("deepfm"), None, "oss://bucket/bundle", trained=data.trained("deepfm"))


def test_everyone_may_read_what_the_umask_allows(bundles):
    assert len({path.stat().st_mode for path in bundles("deepfm").iterdir() if path.is_file()}) == 1


def test_a_difference_fails_the_export_and_leaves_nothing(data, tmp_path, monkeypatch):
    swap = export.swap_for_serving

    def swap_wrongly(model):
        swap(model)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "stacks" in name:
                    parameter += 1e-2

    monkeypatch.setattr(export, "swap_for_serving", swap_wrongly)
    with pytest.raises(ParityError, match="nothing was exported"):
        export_bundle(data.config("deepfm"), None, tmp_path / "out" / "b", trained=data.trained("deepfm"))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing(data, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "save_program", fail)
    with pytest.raises(StorageError, match="No space left on device"):
        export_bundle(data.config("deepfm"), None, tmp_path / "out" / "b", trained=data.trained("deepfm"))
    assert list((tmp_path / "out").iterdir()) == []


def test_the_model_stays_as_it_was(data, tmp_path):
    trained = data.trained("deepfm")
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    export_bundle(trained.config, None, tmp_path / "b", trained=trained)
    after = trained.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_rows_to_check_with_can_be_named(data, tmp_path):
    pq.write_table(data.rows.slice(0, 50), tmp_path / "few.parquet")
    trained = data.trained("dlrm")
    trained.config.train_input_path = "/nowhere/*.parquet"
    with pytest.raises(UserError, match="--parity_input_path"):
        export_bundle(trained.config, None, tmp_path / "b", trained=trained)
    options = ExportOptions(parity_input_path=str(tmp_path / "few.parquet"), parity_rows=20)
    assert export_bundle(trained.config, None, tmp_path / "b", options, trained).manifest.parity["rows"] == 20


def test_no_rows_to_check_with(data, tmp_path):
    pq.write_table(data.rows.slice(0, 0), tmp_path / "none.parquet")
    options = ExportOptions(parity_input_path=str(tmp_path / "none.parquet"))
    with pytest.raises((UserError, DataError), match="no rows"):
        export_bundle(data.config("dlrm"), None, tmp_path / "b", options, data.trained("dlrm"))


def write_checkpoint(trained, step, ema=None):
    """A checkpoint as training writes it."""
    folders = {"model": trained.model.state_dict()}
    if ema:
        folders["dense_ema"] = ema
    commit(Snapshot(Path(trained.config.model_dir) / f"model.ckpt-{step}", folders, {"meta": {"step": step}}))


@pytest.fixture
def run(data, tmp_path):
    """A trained model whose model_dir is empty so far."""
    trained = data.trained("dlrm")
    trained.config.model_dir = str(tmp_path / "run")
    return trained


def test_export_from_a_checkpoint(run, data, tmp_path):
    write_checkpoint(run, 7)
    report = export_bundle(run.config, None, tmp_path / "b")
    assert report.manifest.checkpoint_step == 7
    stored = load_file(tmp_path / "b" / "weights.safetensors")
    wanted = run.model.state_dict()
    dense = [name for name in wanted if ".collection." not in name and wanted[name].dim()]
    assert dense and all(torch.equal(stored[f"model.{name}"], wanted[name]) for name in dense)


def test_newest_and_best_checkpoint(run, tmp_path):
    for step in (5, 10, 15):
        write_checkpoint(run, step)
    config, folder = run.config, tmp_path / "run"
    assert choose_checkpoint(config, None).name == "model.ckpt-15"
    assert choose_checkpoint(config, str(folder / "model.ckpt-5")).name == "model.ckpt-5"
    lines = [{"global_step": s, "auc": a, "loss": a} for s, a in ((5, 0.6), (10, 0.9), (15, 0.7), (20, 0.95))]
    (folder / "train_eval_result_v2.txt").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config.export_config.exporter_type = "best"
    assert choose_checkpoint(config, None).name == "model.ckpt-10", "the checkpoint of step 20 is gone"
    assert choose_checkpoint(config, str(folder / "model.ckpt-5")).name == "model.ckpt-5", "a named one is taken"
    config.export_config.best_exporter_metric = "loss"
    config.export_config.metric_larger_is_better = False
    assert choose_checkpoint(config, str(folder)).name == "model.ckpt-5"
    config.export_config.best_exporter_metric = "aucc"
    with pytest.raises(UserError, match=r"'aucc' is not in .*\(it has auc, loss\), did you mean 'auc'\?"):
        choose_checkpoint(config, None)


def test_best_needs_evaluations(run, tmp_path):
    write_checkpoint(run, 5)
    run.config.export_config.exporter_type = "best"
    with pytest.raises(UserError, match=r"train_eval_result_v2\.txt is missing"):
        choose_checkpoint(run.config, None)
    run.config.export_config.exporter_type = "newest"
    with pytest.raises(ConfigError, match="it can be 'latest' or 'best'"):
        choose_checkpoint(run.config, None)


def test_no_checkpoint(run):
    with pytest.raises(UserError, match="no checkpoint to read"):
        choose_checkpoint(run.config, None)


def test_moving_average_is_taken_where_wanted(run):
    dense = {n: torch.full_like(p.data, 0.25) for n, p in run.model.named_parameters() if ".collection." not in n}
    write_checkpoint(run, 5, ema=dense)
    path = choose_checkpoint(run.config, None)

    def loaded():
        return dict(load_trained(run.config, path).model.named_parameters())

    first = next(iter(dense))
    assert torch.equal(loaded()[first], dict(run.model.named_parameters())[first])
    run.config.train_config.dense_optimizer.ema.decay = 0.9
    assert torch.equal(loaded()[first], dense[first])
    run.config.export_config.use_dense_ema = False
    assert torch.equal(loaded()[first], dict(run.model.named_parameters())[first])
