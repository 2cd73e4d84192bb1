"""What is measured: an example config over generated rows of its layout, or over MovieLens."""

from dataclasses import dataclass
from pathlib import Path

from rows import generated, prepared

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@dataclass(frozen=True)
class Case:
    """One model on one kind of rows; `layout` is empty where the data is that of the example itself."""

    config: str
    layout: str = ""
    fg_mode: str = ""
    batch_size: int = 4096
    extra: tuple[str, ...] = ()

    def sets(self, rows: int) -> list[str]:
        """Overrides of the config; makes the data if need be."""
        sets = [f"data_config.batch_size={self.batch_size}"]
        if self.fg_mode:
            sets.append(f"data_config.fg_mode={self.fg_mode}")
        data = generated(self.layout, rows, rows // 10) if self.layout else prepared("movielens")
        train, test = ("train/*", "test/*") if self.layout else ("random/train", "random/test")
        return [
            *sets,
            *self.extra,
            f"train_input_path={data}/{train}.parquet",
            f"eval_input_path={data}/{test}.parquet",
        ]

    @property
    def path(self) -> str:
        """The config file."""
        return str(EXAMPLES / f"{self.config}.config")


_CLICKS = "feature_configs[sequence_feature.sequence_name=click_50_seq].sequence_feature.sequence_length={}"

CASES = {
    "deepfm": Case("deepfm_criteo", "criteo_hashed", "FG_NONE"),
    "deepfm_raw": Case("deepfm_criteo", "criteo", "FG_DAG"),
    "dlrm": Case("dlrm_criteo", "criteo_hashed", "FG_NONE"),
    "dcn_v2": Case("models/dcn_v2_criteo", "criteo_hashed", "FG_NONE"),
    "din": Case("models/multi_tower_din_taobao", "taobao_long", "FG_DAG", extra=(_CLICKS.format(100),)),
    "mmoe_taobao": Case("mmoe_taobao", "taobao", "FG_DAG"),
    "movielens": Case("deepfm_movielens", batch_size=1024),
}
