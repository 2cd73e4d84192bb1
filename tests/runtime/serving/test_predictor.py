"""Bundles of every model score like the model, at any batch size, in any thread, without training code."""

import json
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.errors import DataError, UserError
from tzx.runtime.serving import Predictor
from tzx.runtime.serving.manifest import describe_files, read_manifest, write_manifest
from tzx.runtime.serving.predictor import edited_config
from tzx.runtime.serving.program import BundleError

OUTPUTS = {
    "deepfm": {"logits": (), "probs": ()},
    "wide_and_deep": {"logits": (), "probs": ()},
    "multi_tower": {"logits": (2,), "probs": (2,), "probs1": ()},
    "multi_tower_din": {"logits": (), "probs": ()},
    "dlrm": {"logits": (), "probs": ()},
    "mmoe": {"logits_ctr": (), "probs_ctr": (), "y_stars": ()},
}


def batch_of(rows: pa.Table, size: int) -> pa.RecordBatch:
    """`size` rows, repeating the table where it is too short."""
    return pa.concat_tables([rows] * (size // rows.num_rows + 1)).slice(0, size).combine_chunks().to_batches()[0]


@pytest.mark.parametrize("name", list(OUTPUTS))
def test_every_model_scores_as_trained(bundles, data, name):
    predictor, trained = Predictor(bundles(name)), data.trained(name)
    for size in (1, 7, 4096):
        rows = batch_of(data.rows, size)
        got, wanted = predictor.predict(rows), trained.predict(rows)
        assert {k: v.shape for k, v in got.items()} == {k: (size, *s) for k, s in OUTPUTS[name].items()}
        for key in wanted:
            np.testing.assert_allclose(got[key], wanted[key], rtol=0, atol=1e-5)
        assert got[next(iter(got))].std() > 1e-3 or size == 1


@pytest.mark.parametrize("name", ["multi_tower_din", "deepfm"])
def test_rows_without_any_id(bundles, data, name):
    rows = batch_of(data.rows, 5)
    for column in ("tags", "likes", "clicks__item", "clicks__price"):
        at = rows.schema.get_field_index(column)
        rows = rows.set_column(at, column, pa.array([""] * 5))
    got, wanted = Predictor(bundles(name)).predict(rows), data.trained(name).predict(rows)
    for key in wanted:
        np.testing.assert_allclose(got[key], wanted[key], rtol=0, atol=1e-5)


def test_no_rows_in_no_rows_out(bundles, data):
    got = Predictor(bundles("multi_tower")).predict(batch_of(data.rows, 1).slice(0, 0))
    assert {k: (v.shape, v.dtype) for k, v in got.items()} == {
        "logits": ((0, 2), np.float32),
        "probs": ((0, 2), np.float32),
        "probs1": ((0,), np.float32),
    }


def test_a_row_scores_the_same_alone_and_among_others(bundles, data):
    predictor = Predictor(bundles("multi_tower_din"))
    together = predictor.predict(batch_of(data.rows, 40))["logits"]
    alone = [predictor.predict(batch_of(data.rows, 40).slice(i, 1))["logits"][0] for i in range(40)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_threads_share_a_predictor(bundles, data):
    predictor = Predictor(bundles("multi_tower_din"))
    parts = [batch_of(data.rows, 300).slice(i, 13) for i in range(0, 280, 10)]
    wanted = [predictor.predict(part)["logits"] for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, expected in zip(pool.map(lambda p: predictor.predict(p)["logits"], parts), wanted, strict=True):
                np.testing.assert_array_equal(got, expected)


def test_a_missing_column_is_named(bundles, data):
    rows = batch_of(data.rows, 3).drop_columns(["tags"])
    with pytest.raises(DataError, match="tags"):
        Predictor(bundles("deepfm")).predict(rows)


def test_a_bundle_can_be_moved_and_needs_no_training_data(bundles, data, tmp_path, monkeypatch):
    moved = tmp_path / "elsewhere" / "bundle"
    shutil.copytree(bundles("deepfm"), moved)
    vocabulary = data.root / "items.txt"
    kept = vocabulary.read_text()
    vocabulary.unlink()
    try:
        got = Predictor(moved).predict(batch_of(data.rows, 9))
    finally:
        vocabulary.write_text(kept)
    np.testing.assert_allclose(
        got["logits"], data.trained("deepfm").predict(batch_of(data.rows, 9))["logits"], atol=1e-5
    )


@pytest.mark.slow
def test_serving_imports_no_training_code(bundles, data, tmp_path):
    """In a fresh process in which torchrec, fbgemm and training code cannot be imported."""
    import pyarrow.parquet as pq

    pq.write_table(data.rows.slice(0, 4), tmp_path / "rows.parquet")
    script = textwrap.dedent(
        """
        import sys

        class Ban:
            BANNED = ("torchrec", "fbgemm_gpu", "tzx.runtime.training", "tzx.runtime.models", "tzx.runtime.embedding",
                      "tzx.runtime.serving.export", "torch.distributed.checkpoint", "tzx.apps")

            def find_spec(self, name, path=None, target=None):
                if any(name == b or name.startswith(b + ".") for b in self.BANNED):
                    raise ImportError(f"{name} is banned here")

        sys.meta_path.insert(0, Ban())
        import pyarrow.parquet as pq
        from tzx.runtime.serving import Predictor

        rows = pq.read_table(sys.argv[2]).to_batches()[0]
        print(Predictor(sys.argv[1]).predict(rows)["logits"].tolist())
        """
    )
    command = [sys.executable, "-c", script, str(bundles("deepfm")), str(tmp_path / "rows.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    wanted = data.trained("deepfm").predict(batch_of(data.rows, 4))["logits"]
    np.testing.assert_allclose(json.loads(done.stdout), wanted, atol=1e-5)


@pytest.fixture
def copy(bundles, tmp_path):
    """A bundle to damage."""
    target = tmp_path / "bundle"
    shutil.copytree(bundles("deepfm"), target)
    return target


@pytest.mark.parametrize("name", ["model.pt2", "weights.safetensors", "pipeline.config", "features.json"])
def test_missing_and_changed_files_are_named(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} was changed"):
        Predictor(copy)
    (copy / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} is missing"):
        Predictor(copy)


def test_a_changed_asset_is_named(copy):
    asset = next((copy / "assets").iterdir())
    asset.write_text("other\n")
    with pytest.raises(BundleError, match=f"assets/{asset.name}"):
        Predictor(copy)


def signed(bundle):
    """Bring the manifest up to date with files that a test has changed, as an attacker would."""
    manifest = read_manifest(bundle)
    manifest.files.clear()
    manifest.files.update(describe_files(bundle))
    write_manifest(bundle, manifest)


def test_files_of_two_bundles_do_not_mix(copy, bundles):
    shutil.copy(bundles("dlrm") / "pipeline.config", copy / "pipeline.config")
    text = (copy / "pipeline.config").read_text().replace('feature_name: "price"', 'feature_name: "cost"')
    (copy / "pipeline.config").write_text(text.replace('"price"', '"cost"'))
    (copy / "features.json").write_text('{"tensors": ["dense"]}')
    signed(copy)
    with pytest.raises(BundleError, match=r"features\.json and model\.pt2 do not belong to this pipeline\.config"):
        Predictor(copy)


def test_damaged_weights_with_a_fresh_hash(copy):
    (copy / "weights.safetensors").write_bytes(b"\xff" * 100)
    signed(copy)
    with pytest.raises(BundleError, match="malformed bundle"):
        Predictor(copy)


def test_a_manifest_without_the_weights(copy):
    manifest = read_manifest(copy)
    del manifest.files["weights.safetensors"]
    write_manifest(copy, manifest)
    with pytest.raises(BundleError, match=r"does not list weights\.safetensors"):
        Predictor(copy)


def test_config_can_be_edited_for_reading(copy):
    assert edited_config(copy, [], None) is None
    config = edited_config(copy, ["data_config.batch_size=17"], None)
    assert Predictor(copy, config=config).config.data_config.batch_size == 17


def test_no_bundle(tmp_path):
    with pytest.raises(UserError, match="no such bundle directory"):
        Predictor(tmp_path / "none")


def test_ids_are_hashed_as_in_training_whatever_the_environment(copy, monkeypatch):
    monkeypatch.setenv("USE_FARM_HASH_TO_BUCKETIZE", "true")
    assert not Predictor(copy).features.settings.farm_hash
    farm = {"farm_hash": True, "group_join": "__"}
    for settings, farm_hash in ((farm, True), (None, True), (7, None), ({"a": 1}, None)):
        described = json.loads((copy / "features.json").read_text()) | {"settings": settings}
        (copy / "features.json").write_text(json.dumps(described))
        signed(copy)
        if farm_hash is None:
            with pytest.raises(BundleError, match=r"malformed features\.json"):
                Predictor(copy)
        else:
            assert Predictor(copy).features.settings.farm_hash
