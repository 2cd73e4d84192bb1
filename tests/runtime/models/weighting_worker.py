"""One process of a training step with weighed losses: python weighting_worker.py RANK WORLD STORE_FILE.

Prints the products of the losses' gradients, and gradients of dense parameters averaged over processes, as JSON.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from google.protobuf import text_format

sys.path.insert(0, str(Path(__file__).parent))

from conftest import make_arrays
from model_zoo import TEXTS
from model_zoo.configs import FEATURES

from tzx.runtime.data.batch import BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features import FeatureSet
from tzx.runtime.metrics.sync import all_sum
from tzx.runtime.models import build_model
from tzx.runtime.models.gradients import LossGradients
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

WAYS = ("use_pareto_loss_weight", "use_uncertainty_loss_weight", "use_pcgrad")
HALF = 8


def joined(parts):
    """Rows of several parts as one, feature by feature."""
    found = {}
    for name, first in parts[0].items():
        fields = [f.name for f in dataclasses.fields(first) if getattr(first, f.name) is not None]
        columns = {f: np.concatenate([getattr(part[name], f) for part in parts]) for f in fields}
        found[name] = dataclasses.replace(first, **columns)
    return found


def batch_of(halves, features):
    arrays = joined([make_arrays(HALF, seed=half) for half in halves])
    batch = pack(arrays, BatchLayout.from_features(features.features), HALF * len(halves))
    labels = [np.random.default_rng(half + 10).integers(0, 2, (3, HALF)) for half in halves]
    columns = torch.tensor(np.concatenate(labels, axis=1))
    batch.labels = dict(zip(("click", "buy", "stars"), columns.unbind(), strict=True))
    batch.sample_weights = {name: torch.ones(batch.size) for name in ("w", "w2")}
    return batch


def run(rank, world):
    """What one process sees of half of the rows, or of all of them when it is alone."""
    found = {}
    for way in WAYS:
        config = text_format.Parse(f"{FEATURES} model_config {{ {TEXTS['mmoe']} {way}: true }}", EasyRecConfig())
        features = FeatureSet.from_config(config.feature_configs, config.data_config)
        torch.manual_seed(0)
        model = build_model(config, features)
        gradients = LossGradients(model, model.embedding_groups)
        batch = batch_of([rank] if world > 1 else [0, 1], features)
        losses = model.plain_losses(model.predict(batch), batch)
        found[f"{way} products"] = gradients.products(list(losses.values())).tolist()
        torch.manual_seed(1)
        sum(model.loss(model.predict(batch), batch).values()).backward()
        dense = [p.grad for name, p in model.named_parameters() if ".collection." not in name and p.grad is not None]
        found[f"{way} gradient"] = (all_sum(torch.cat([g.flatten() for g in dense])) / world).tolist()
    return found


if __name__ == "__main__":
    rank, world, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    print(json.dumps(run(rank, world)))
    dist.destroy_process_group()
