"""Which features matter, by the dropout rates that a model has learned for them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tzx.runtime.config import dump_config
from tzx.runtime.config.reduction import reduce_features
from tzx.runtime.embedding.tables import table_device
from tzx.runtime.errors import ConfigError, UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.selection_chart import chart
from tzx.runtime.training.tensor_files import load_tensors


@dataclass(frozen=True)
class Ranked:
    """One feature of a group; `rate` is how often it was dropped in the end, `kept` whether it is among the best."""

    feature: str
    rate: float
    kept: bool


def rank_features(config: EasyRecConfig, checkpoint: str, topk: int) -> dict[str, list[Ranked]]:
    """Features of each group from the most to the least important.

    Args:
        config: as it was trained, with variational_dropout.
        checkpoint: a checkpoint, or a model directory, whose newest one is taken.
        topk: features of each group that are kept.

    Raises:
        ConfigError: the config asks for no variational dropout, or no group has two features.
        UserError: the checkpoint holds no dropout rates.
    """
    if not config.model_config.HasField("variational_dropout"):
        raise ConfigError(
            "model_config sets no variational_dropout, which ranks features; add variational_dropout {} and train"
        )
    path = ckpt.resolve_checkpoint(checkpoint)
    with table_device("meta"):  # the rates are all that is read
        model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    dropout = model.feature_dropout
    assert dropout is not None, "the config asks for it"
    rates = {f"feature_dropout.{name}": p.detach() for name, p in dropout.named_parameters()}
    if not rates:
        raise ConfigError("no DEEP or WIDE feature group has two features or more: there is nothing to choose from")
    if left := load_tensors(path / "model", rates):
        raise UserError(f"{path} holds no dropout rates for {', '.join(left)}; was it trained with this config?")
    return {group: _ranked(found, topk) for group, found in dropout.rates().items()}


def _ranked(rates: Mapping[str, float], topk: int) -> list[Ranked]:
    ordered = sorted(rates.items(), key=lambda item: (item[1], item[0]))
    return [Ranked(name, rate, place < topk) for place, (name, rate) in enumerate(ordered)]


def write_selection(
    config: EasyRecConfig, ranked: Mapping[str, Sequence[Ranked]], out: Path, keep_dropout: bool, with_chart: bool
) -> list[Path]:
    """Write rates, charts if wanted, and the config reduced to the kept features; returns the files.

    Args:
        config: what was trained.
        ranked: what `rank_features` returned.
        out: folder for the files.
        keep_dropout: leave variational_dropout in the reduced config.
        with_chart: also draw the rates of each group.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for group, features in ranked.items():
        written.append(out / f"feature_dropout_ratio_{group}.csv")
        with written[-1].open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["feature", "dropout_ratio", "kept"])
            rows.writerows([f.feature, f"{f.rate:.6f}", int(f.kept)] for f in features)
        if with_chart:
            written.append(out / f"feature_dropout_ratio_{group}.svg")
            written[-1].write_text(chart(group, [(f.feature, f.rate, f.kept) for f in features]))
    reduced = reduce_features(config, {group: {f.feature for f in fs if f.kept} for group, fs in ranked.items()})
    if not keep_dropout:
        reduced.model_config.ClearField("variational_dropout")
    written.append(out / "pipeline.config")
    written[-1].write_text(dump_config(reduced))
    return written
