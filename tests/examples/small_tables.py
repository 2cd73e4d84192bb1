"""Example configs for few ids: the tables of the large layouts hold millions of rows, which no short test needs."""

import re

FEW_IDS = 1000  # no table of the examples between this and 100 rows has to shrink


def with_small_tables(config: str) -> str:
    """The text of a config with tables of at most FEW_IDS rows."""
    return re.sub(r"(num_buckets|hash_bucket_size): \d{4,}", rf"\1: {FEW_IDS}", config)
