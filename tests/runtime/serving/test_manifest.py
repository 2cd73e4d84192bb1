"""A bundle that is not what its manifest says is refused, with every difference named."""

import hashlib
import json

import pytest

from tzx.runtime.errors import UserError
from tzx.runtime.serving.manifest import (
    Manifest,
    Output,
    describe_files,
    read_manifest,
    verify_files,
    write_manifest,
)
from tzx.runtime.serving.program import BundleError


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "weights.safetensors").write_bytes(b"w" * 5_000_000)
    (tmp_path / "assets" / "vocab").write_text("a\nb\n")
    outputs = (Output("probs", "float32"), Output("vector", "float32", (2, 3)))
    write_manifest(tmp_path, Manifest(describe_files(tmp_path), outputs, 12, {"rows": 3}, {"tzx": "1"}))
    return tmp_path


def test_round_trip(bundle):
    manifest = read_manifest(bundle)
    assert sorted(manifest.files) == ["assets/vocab", "weights.safetensors"]
    digest = hashlib.sha256(b"a\nb\n").hexdigest()
    assert manifest.files["assets/vocab"] == {"bytes": 4, "sha256": digest}
    assert manifest.outputs[1] == Output("vector", "float32", (2, 3))
    assert manifest.checkpoint_step == 12
    assert manifest.total_bytes == 5_000_004
    verify_files(bundle, manifest)


def test_every_difference_is_named_at_once(bundle):
    weights = bytearray((bundle / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (bundle / "weights.safetensors").write_bytes(weights)
    (bundle / "assets" / "vocab").unlink()
    with pytest.raises(BundleError) as raised:
        verify_files(bundle, read_manifest(bundle))
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("assets/vocab is missing")
    assert "weights.safetensors was changed" in lines[1]
    assert raised.value.exit_code == 2


def test_truncated_file_is_told_by_its_size(bundle):
    (bundle / "assets" / "vocab").write_text("a")
    with pytest.raises(BundleError, match="assets/vocab has 1 bytes, the manifest says 4"):
        verify_files(bundle, read_manifest(bundle))


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "assets/../../outside"])
def test_manifest_may_not_point_outside(bundle, name):
    content = json.loads((bundle / "manifest.json").read_text())
    content["files"][name] = {"bytes": 1, "sha256": "0"}
    (bundle / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="points outside the bundle"):
        verify_files(bundle, read_manifest(bundle))


def test_unknown_format_is_refused(bundle):
    content = json.loads((bundle / "manifest.json").read_text())
    content["format_version"] = 7
    (bundle / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="bundle format 7 is unknown, this version of tzx reads 1"):
        read_manifest(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 1}', "not json", '{"format_version": 1, "x": 2}'])
def test_malformed_manifest(bundle, text):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json: malformed"):
        read_manifest(bundle)


def test_no_bundle(tmp_path):
    with pytest.raises(UserError, match="no such bundle directory"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"not a bundle, manifest\.json is missing; .*tzx\.apps\.export"):
        read_manifest(tmp_path)
