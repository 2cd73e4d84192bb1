"""The example configs: each validates, reads the columns that the data apps write, and says what it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from tzx.datasets import criteo, movielens, taobao
from tzx.datasets.criteo import Criteo
from tzx.datasets.generate import LAYOUTS
from tzx.datasets.prepare import DATA_SETS
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "examples").glob("*.config"))
CPU_TABLE_OPTIMIZERS = {"sgd_optimizer", "adagrad_optimizer", "rowwise_adagrad_optimizer"}


def _read(path: Path) -> EasyRecConfig:
    return text_format.Parse(path.read_text(), EasyRecConfig())


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_eight_examples():
    assert [path.stem for path in CONFIGS] == [
        "deepfm_criteo",
        "deepfm_movielens",
        "din_movielens",
        "din_taobao_dynamic",
        "dlrm_criteo",
        "mmoe_movielens",
        "mmoe_taobao",
        "wide_and_deep_adult",
    ]


def test_validates_without_a_warning(path: Path):
    command = [sys.executable, "-m", "tzx.apps.validate", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "warning" not in (result.stdout + result.stderr).lower()


def test_opens_with_what_it_is_how_to_run_it_and_what_it_reaches(path: Path):
    comment = "\n".join(line for line in path.read_text().split("\n\n")[0].splitlines())
    assert all(line.startswith("#") for line in comment.splitlines())
    assert f"--config examples/{path.name}" in comment
    assert re.search(r"python -m tzx\.apps\.(prepare|generate)_data (\w+)", comment)
    assert "AUC" in comment


def test_the_data_command_in_the_comment_writes_where_the_config_reads(path: Path):
    app, name = re.search(r"tzx\.apps\.(prepare|generate)_data (\w+)", path.read_text()).groups()
    assert name in (DATA_SETS if app == "prepare" else LAYOUTS)
    config = _read(path)
    assert config.train_input_path.startswith(f"data/{name}/")
    assert config.eval_input_path.startswith(f"data/{name}/")
    assert config.model_dir == f"runs/{path.stem}"


def test_tables_can_be_trained_on_a_cpu(path: Path):
    config = _read(path)
    assert config.train_config.sparse_optimizer.WhichOneof("optimizer") in CPU_TABLE_OPTIMIZERS
    features = FeatureSet.from_config(config.feature_configs, config.data_config).features
    dims = {feature.embedding_dim for feature in features if feature.is_sparse}
    assert all(dim % 4 == 0 for dim in dims)
    gigabytes = sum({f.embedding_name: f.num_embeddings * f.embedding_dim for f in features}.values()) * 8 / 1e9
    assert gigabytes < 1.2


def test_reads_only_columns_that_the_data_has(path: Path, columns_of):
    config = _read(path)
    columns = columns_of(re.search(r"_data (\w+)", path.read_text()).group(1), config.train_input_path)
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    labels = list(config.data_config.label_fields)
    assert set(features.input_columns) | set(labels) <= set(columns)
    assert not set(features.input_columns) & {
        "rating",
        "timestamp",
        "liked",
        "loved",
        "clk",
        "buy",
        "over_50k",
        "label",
    }


@pytest.fixture(scope="session")
def columns_of():
    user = ["user_id", "age", "gender", "occupation", "zip_area"]
    item = ["item_id", "title", "year", "genres"]
    events = [*user, *item, "rating", "timestamp", "liked", "loved"]
    hist = ["hist__item_id", "hist__genres", "hist__rating"]
    from tzx.datasets import adult

    def columns(name: str, input_path: str) -> list[str]:
        if name == "movielens":
            return events + hist * ("/time/" in input_path)
        if name == "adult":
            return [*adult._COLUMNS[:-1], "over_50k"]
        return LAYOUTS[name](1).schema.names

    return columns


def test_criteo_tables_have_the_rows_that_the_generator_hashes_to():
    for name in ("deepfm_criteo", "dlrm_criteo"):
        config = _read(ROOT / "examples" / f"{name}.config")
        features = FeatureSet.from_config(config.feature_configs, config.data_config)
        assert [features.by_name[f"cat_{i}"].num_embeddings for i in range(26)] == list(criteo.TABLE_ROWS)


def test_taobao_tables_hold_every_id_that_the_generator_draws():
    config = _read(ROOT / "examples" / "mmoe_taobao.config")
    rows = {
        f.name: f.num_embeddings for f in FeatureSet.from_config(config.feature_configs, config.data_config).features
    }
    largest = {
        "user_id": taobao.USERS,
        "adgroup_id": taobao.ADS,
        "cate_id": taobao.CATEGORIES,
        "brand": taobao.BRANDS,
        "campaign_id": taobao.CAMPAIGNS,
        "customer": taobao.CUSTOMERS,
    }
    for name, most in largest.items():
        assert rows[name] == most + 1
    for name in ("adgroup_id", "cate_id", "brand"):
        assert rows[f"click_50_seq__{name}"] == rows[name]


def test_raw_and_hashed_rows_give_the_same_features():
    """The feature engine makes of the raw strings and counts exactly what the hashed rows hold."""
    config = _read(ROOT / "examples" / "deepfm_criteo.config")
    raw = FeatureSet.from_config(config.feature_configs, config.data_config)
    config.data_config.fg_mode = 1  # FG_NONE
    finished = FeatureSet.from_config(config.feature_configs, config.data_config)
    of_raw, of_hashed = (
        features.generate(Criteo(1, hashed).chunk(0, 500).table.to_batches()[0])
        for features, hashed in ((raw, False), (finished, True))
    )
    assert of_raw.keys() == of_hashed.keys()
    for name, data in of_raw.items():
        assert data.values.shape == of_hashed[name].values.shape
        if name.startswith("cat_"):
            assert (data.values == of_hashed[name].values).all(), name
        else:
            assert abs(data.values - of_hashed[name].values).max() < 1e-6, name


def test_movielens_genres_in_the_configs_are_those_of_the_data():
    config = _read(ROOT / "examples" / "deepfm_movielens.config")
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    (genres,) = (f for f in features.features if f.name == "genres")
    assert set(genres.config.vocab_list) == set(movielens._GENRES) - {"unknown"}
