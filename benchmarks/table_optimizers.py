"""CPU time of every sparse optimizer against fused Adagrad: look-up, gradient and update of 26 tables.

    python benchmarks/table_optimizers.py [--batch 4096] [--skew 0]

Tables of 10,000 to 1,000,000 rows of 16 floats, one id per row and table; ids are uniform, or with `--skew 1.1` follow
a power law. Each optimizer takes turns with fused Adagrad, so that load on the machine meets both alike, and the ratio
of the medians is printed. Needs 3 GiB.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)
from machine import facts, show
from torch import nn

from tzx.runtime.embedding.row_tables import RowTables
from tzx.runtime.embedding.row_updates import RULES

TABLES, WIDTH, TURNS = 26, 16, 7
ROWS = [int(rows) for rows in np.geomspace(10_000, 1_000_000, TABLES)]


def make(kernel: type[nn.Module], optimizer: EmbOptimType) -> nn.Module:
    return kernel(
        embedding_specs=[(rows, WIDTH, EmbeddingLocation.HOST, ComputeDevice.CPU) for rows in ROWS],
        feature_table_map=list(range(TABLES)),
        pooling_mode=PoolingMode.SUM,
        optimizer=optimizer,
        learning_rate=0.01,
        device=torch.device("cpu"),
    )


def draw(batch: int, skew: float, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    columns = [rng.zipf(skew, batch) % rows if skew else rng.integers(0, rows, batch) for rows in ROWS]
    return torch.from_numpy(np.concatenate(columns).astype(np.int64))


def step(tables: nn.Module, ids: torch.Tensor, offsets: torch.Tensor, gradient: torch.Tensor) -> float:
    began = time.process_time()
    tables(ids, offsets).backward(gradient)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--skew", type=float, default=0.0, help="exponent of a power law; 0 is uniform")
    args = parser.parse_args()
    torch.set_num_threads(1)
    fused = (EmbOptimType.EXACT_ADAGRAD, EmbOptimType.EXACT_ROWWISE_ADAGRAD, EmbOptimType.EXACT_SGD)
    candidates = [(f"{o.value}, FBGEMM", SplitTableBatchedEmbeddingBagsCodegen, o) for o in fused]
    candidates += [(o.value, RowTables, o) for o in EmbOptimType if o.value in RULES]
    offsets, gradient = torch.arange(TABLES * args.batch + 1), torch.randn(args.batch, TABLES * WIDTH)
    batches = [draw(args.batch, args.skew, seed) for seed in range(TURNS + 1)]
    yardstick = make(SplitTableBatchedEmbeddingBagsCodegen, EmbOptimType.EXACT_ADAGRAD)
    found = {}
    for name, kernel, optimizer in candidates:
        tables = make(kernel, optimizer)
        # The first pair meets cold memory and is left out.
        pairs = [[step(t, ids, offsets, gradient) for t in (yardstick, tables)] for ids in batches]
        theirs, ours = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
        found[name] = f"{ours * 1e3:7.1f}  {theirs / ours:5.2f}"
    show("machine", facts(threads=1))
    show("CPU ms of a step, and its part of the speed of fused Adagrad", found)


if __name__ == "__main__":
    main()
