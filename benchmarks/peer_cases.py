"""The models that peers.py trains in tzx and in other libraries: configs, and where their rows lie."""

from dataclasses import dataclass
from pathlib import Path

from alike import alike
from google.protobuf import text_format
from result_models import ENTRIES
from rows import generated, prepared, smaller_tables

from tzx.runtime.config import load_config
from tzx.runtime.protos.model_pb2 import ModelConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TABLE_LR, DENSE_LR = 0.02, 0.001
CATS, INTS = ([f'"{kind}_{i}"' for i in range(count)] for kind, count in (("cat", 26), ("int", 13)))
_FUXICTR = ("fuxictr", "fuxictr, step only")
_TORCHREC = "torchrec, step only"
_MOVIELENS_WINDOW = 39  # half an epoch


@dataclass(frozen=True)
class Case:
    """A model, by the name it has in other libraries too, on some rows.

    `most` caps the rows of a table; 0 leaves the sizes of the example config. `libraries` have the model. `window` is
    the number of steps of a turn, more where they are short, as what a loader has ready is then soon used up.
    `cross_rank` is that of TorchRec's cross; 0 means full matrices.
    """

    model: str
    text: str = ""
    most: int = 0
    libraries: tuple[str, ...] = (*_FUXICTR, "deepctr-torch", _TORCHREC)
    window: int = 10
    cross_rank: int = 0

    @property
    def is_criteo(self) -> bool:
        """Generated rows in the Criteo layout, else MovieLens-100K."""
        return bool(self.text)

    def config(self, rows: int) -> EasyRecConfig:
        """What tzx trains; makes the rows if need be."""
        config = _criteo(self, rows) if self.is_criteo else _movielens(self)
        config.data_config.shuffle = True
        alike(config)
        return config


def _criteo(case: Case, rows: int) -> EasyRecConfig:
    config = load_config(str(EXAMPLES / "models/dcn_v2_criteo.config"))
    config.model_config.CopyFrom(text_format.Parse(case.text + _LOSS, ModelConfig()))
    data = generated("criteo_hashed", rows, rows // 10)
    if case.most:
        data = smaller_tables(data, case.most)
        for feature in config.feature_configs:
            table = feature.id_feature
            if feature.WhichOneof("feature") == "id_feature":
                table.num_buckets = min(table.num_buckets, case.most)
    config.train_input_path, config.eval_input_path = f"{data}/train/*.parquet", f"{data}/test/*.parquet"
    config.train_config.sparse_optimizer.adagrad_optimizer.lr = TABLE_LR
    config.train_config.dense_optimizer.adam_optimizer.lr = DENSE_LR
    return config


def _movielens(case: Case) -> EasyRecConfig:
    config = load_config(str(EXAMPLES / "deepfm_movielens.config"))
    config.model_config.CopyFrom(text_format.Parse(ENTRIES[case.model].model_config(), ModelConfig()))
    data = prepared("movielens") / "random"
    config.train_input_path, config.eval_input_path = f"{data}/train.parquet", f"{data}/test.parquet"
    return config


def _group(name: str, features: list[str], kind: str = "DEEP") -> str:
    return f'feature_groups {{ group_name: "{name}" feature_names: [{", ".join(features)}] group_type: {kind} }}\n'


_LOSS = "losses { binary_cross_entropy {} } metrics { auc {} }"
_DEEP = "deep { hidden_units: [256, 128] }"
_DEEPFM = (
    _group("wide", CATS, "WIDE") + _group("fm", CATS) + _group("deep", CATS + INTS) + f"deepfm {{ {_DEEP} "
    "wide_embedding_dim: 1 }"
)
_DLRM = (
    _group("dense", INTS) + _group("sparse", CATS) + "dlrm { dense_mlp { hidden_units: [64, 16] } "
    "final { hidden_units: [256, 128] } }"
)


def _dcn_v2(rank: int) -> str:
    return _group("deep", CATS + INTS) + f"dcn_v2 {{ cross {{ cross_num: 3 low_rank: {rank} }} {_DEEP} final {{}} }}"


def _low_rank(most: int = 0) -> Case:
    return Case("DCNV2", _dcn_v2(64), most, (_TORCHREC,), cross_rank=64)


_NO_DEEPCTR = (*_FUXICTR, _TORCHREC)
_ALL = (*_FUXICTR, "deepctr-torch", "recbole", _TORCHREC)  # RecBole takes minutes to start on more rows
CASES = {
    "deepfm": Case("DeepFM", _DEEPFM),
    "dcn_v2": _low_rank(),
    "dcn_v2_full": Case("DCNV2", _dcn_v2(0)),
    "dlrm": Case("DLRM", _DLRM, libraries=_NO_DEEPCTR),
    "deepfm_small": Case("DeepFM", _DEEPFM, 100_000),
    "dcn_v2_small": _low_rank(100_000),
    "dcn_v2_full_small": Case("DCNV2", _dcn_v2(0), 100_000),
    "dlrm_small": Case("DLRM", _DLRM, 100_000, _NO_DEEPCTR),
    "movielens_deepfm": Case("DeepFM", window=_MOVIELENS_WINDOW, libraries=_ALL),
    "movielens_dcn_v2": Case("DCNV2", window=_MOVIELENS_WINDOW, libraries=_ALL),
    "movielens_dlrm": Case("DLRM", window=_MOVIELENS_WINDOW, libraries=_FUXICTR),
}
