"""Files that features need travel with the bundle, and a bundle's config can name no other file."""

from pathlib import Path

import pytest

from tzx.runtime.errors import UserError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.assets import bind_assets, copy_assets
from tzx.runtime.serving.program import BundleError


@pytest.fixture
def config(tmp_path):
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "b").mkdir()
    (source / "a" / "vocab.txt").write_text("x\ny\n")
    (source / "b" / "vocab.txt").write_text("z\n")
    config = EasyRecConfig(train_input_path="t", eval_input_path="e", model_dir="m")
    first = config.feature_configs.add().id_feature
    first.feature_name, first.expression, first.vocab_file = "one", "user:one", str(source / "a" / "vocab.txt")
    sequence = config.feature_configs.add().sequence_feature
    sequence.sequence_name, sequence.sequence_length, sequence.sequence_delim = "clicks", 3, ";"
    second = sequence.features.add().id_feature
    second.feature_name, second.expression = "two", "item:two"
    second.vocab_file, second.asset_dir = "vocab.txt", str(source / "b")
    plain = config.feature_configs.add().id_feature
    plain.feature_name, plain.expression = "three", "user:three"
    plain.vocab_dict["k"] = 3
    return config


def test_assets_are_copied_and_bound_again(config, tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    before = config.SerializePartialToString(deterministic=True)
    moved = copy_assets(config, bundle)
    assert config.SerializePartialToString(deterministic=True) == before
    one = moved.feature_configs[0].id_feature
    two = moved.feature_configs[1].sequence_feature.features[0].id_feature
    assert one.vocab_file.startswith("assets/") and one.vocab_file.endswith("-vocab.txt")
    assert one.vocab_file != two.vocab_file
    assert not two.HasField("asset_dir")
    bind_assets(moved, bundle)
    assert Path(one.vocab_file).read_text() == "x\ny\n"
    assert Path(two.vocab_file).read_text() == "z\n"


def test_extra_files_keep_their_names(config, tmp_path):
    extra = tmp_path / "notes.md"
    extra.write_text("hello")
    copy_assets(config, tmp_path / "bundle", [str(extra)])
    assert (tmp_path / "bundle" / "assets" / "notes.md").read_text() == "hello"


def test_extra_files_of_one_name_are_refused(config, tmp_path):
    for name in ("p", "q"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.md").write_text(name)
    with pytest.raises(UserError, match=r"two different assets are named 'notes\.md'"):
        copy_assets(config, tmp_path / "bundle", [str(tmp_path / "p/notes.md"), str(tmp_path / "q/notes.md")])


def test_missing_asset_is_named(config, tmp_path):
    with pytest.raises(UserError, match=r"asset '.*nothing\.txt' does not exist"):
        copy_assets(config, tmp_path / "bundle", [str(tmp_path / "nothing.txt")])


@pytest.mark.parametrize("path", ["/etc/passwd", "assets/../manifest.json", "../x", "assets", "assets/a/b", "other/x"])
def test_a_bundle_names_its_own_files_only(config, tmp_path, path):
    config.feature_configs[0].id_feature.vocab_file = path
    with pytest.raises(BundleError, match=r"vocab_file .* is no file of assets/ of this bundle"):
        bind_assets(config, tmp_path)
