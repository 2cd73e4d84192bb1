"""The export app: what it prints, writes and refuses."""

import json

import pytest

from tzx.apps import export
from tzx.runtime.errors import UserError

pytestmark = pytest.mark.slow


def test_it_says_where_the_bundle_is_how_large_and_how_exact(trained_run, tmp_path, capsys):
    target = tmp_path / "bundle"
    assert export.main(["--config", str(trained_run.config), "--export_dir", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    manifest = json.loads((target / "manifest.json").read_text())
    assert lines[0].startswith(f"bundle {target} (") and lines[0].endswith(" MB)")
    assert lines[1] == "step 6, outputs logits, probs"
    assert lines[2].startswith("parity: 200 rows, largest difference ")
    assert manifest["checkpoint_step"] == 6
    assert max(manifest["parity"]["max_difference"].values()) <= 1e-5


def test_best_checkpoint_and_assets(trained_run, tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    results = [
        json.loads(line) for line in (trained_run.root / "run/train_eval_result_v2.txt").read_text().splitlines()
    ]
    best = max(results, key=lambda line: line["auc"])["global_step"]
    flags = ["--pipeline_config_path", str(trained_run.config), "--set", "export_config.exporter_type=best"]
    flags += ["--export_dir", str(tmp_path / "bundle"), "--asset_files", str(tmp_path / "readme.txt")]
    assert export.main(flags) == 0
    assert json.loads((tmp_path / "bundle/manifest.json").read_text())["checkpoint_step"] == best
    assert (tmp_path / "bundle/assets/readme.txt").read_text() == "hello"


def test_an_existing_directory_is_left_alone(trained_run, bundle):
    before = sorted(bundle.iterdir())
    with pytest.raises(UserError, match="already exists; remove it or choose another --export_dir"):
        export.main(["--config", str(trained_run.config), "--export_dir", str(bundle)])
    assert sorted(bundle.iterdir()) == before


def test_no_checkpoint_and_a_torn_one(trained_run, tmp_path):
    flags = ["--config", str(trained_run.config), "--export_dir", str(tmp_path / "b")]
    with pytest.raises(UserError, match="no checkpoint to read"):
        export.main([*flags, "--model_dir", str(tmp_path)])
    (tmp_path / "model.ckpt-9").mkdir()
    with pytest.raises(UserError, match="was never finished"):
        export.main([*flags, "--checkpoint_path", str(tmp_path / "model.ckpt-9")])
    assert not (tmp_path / "b").exists()


def test_only_the_first_of_several_processes_exports(trained_run, tmp_path, monkeypatch):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert export.main(["--config", str(trained_run.config), "--export_dir", str(tmp_path / "b")]) == 0
    assert not (tmp_path / "b").exists()


def test_an_unknown_flag_names_the_nearest(trained_run, capsys):
    with pytest.raises(SystemExit) as raised:
        export.main(["--config", str(trained_run.config), "--export_dir", "x", "--asset_file", "y"])
    assert raised.value.code == 2
    assert "did you mean --asset_files?" in capsys.readouterr().err
