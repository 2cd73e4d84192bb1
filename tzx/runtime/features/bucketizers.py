"""From values to rows of an embedding table, one class per way a config can ask for it.

Precedence and row counts follow the compatible system; of several bucketizers the config may set only one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import vocabulary
from tzx.runtime.features.arrays import Float32, Int64
from tzx.runtime.features.numbers import to_float32, to_ints, to_strings
from tzx.runtime.features.ragged import Ragged, bad_value
from tzx.runtime.features.settings import FeatureSettings

UNBOUNDED = 2**63 - 1


@dataclass(frozen=True)
class Hash:
    """Hash of the text modulo `buckets`."""

    buckets: int
    rows: int
    farm: bool = False

    def __call__(self, ragged: Ragged) -> Int64:
        """Row of every value, [N]."""
        from tzx.runtime.features.kernels import hashing

        values: Any = ragged.values
        if isinstance(values, np.ndarray) and values.dtype == np.int64:
            return hashing.hash_ints(values, self.buckets, self.farm)
        strings = to_strings(values)
        return hashing.hash_strings(strings.data, strings.starts, strings.ends, self.buckets, self.farm)


@dataclass(frozen=True)
class Identity:
    """Values that are ids already, checked to lie in [0, rows); rows 0 means any."""

    rows: int
    option: str = "num_buckets"

    def __call__(self, ragged: Ragged) -> Int64:
        """The values themselves, [N]."""
        ids = to_ints(ragged)
        # As unsigned, a negative id is larger than any allowed one: one pass finds both.
        if self.rows and len(ids) and int(ids.view(np.uint64).max()) >= self.rows:
            every = np.flatnonzero(ids.view(np.uint64) >= np.uint64(self.rows))
            allowed = f"0 to {self.rows - 1} ({self.option})"
            problem = f"id {ids[every[0]]} is out of range; allowed are {allowed}"
            raise bad_value(ragged, int(every[0]), problem, lambda: every)
        return ids


@dataclass(frozen=True)
class Words:
    """Index of the text in a vocabulary."""

    vocabulary: vocabulary.Vocabulary

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return self.vocabulary.rows

    def __call__(self, ragged: Ragged) -> Int64:
        """Index of every value, [N]."""
        return self.vocabulary.look_up(to_strings(ragged.values))


@dataclass(frozen=True)
class Boundaries:
    """Number of boundaries that are at most the value; compared as float32, which is what a config holds."""

    edges: Float32

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return len(self.edges) + 1

    def __call__(self, ragged: Ragged) -> Int64:
        """Bucket of every value, [N]."""
        return np.searchsorted(self.edges, to_float32(ragged), side="right")


Bucketizer = Hash | Identity | Words | Boundaries


def has_field(config: Any, name: str) -> bool:
    """Whether a feature message has this field at all, and it is set."""
    field = config.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        return False
    return len(getattr(config, name)) > 0 if field.is_repeated else config.HasField(name)


def given_options(config: Any) -> list[str]:
    """Bucketizers that a feature config sets. A tokenizer's vocab_file is none."""
    if config.DESCRIPTOR.name == "TokenizeFeature":
        return []
    return [option for option in OPTIONS if has_field(config, option)]


def _default_index(config: Any) -> int | None:
    return config.default_bucketize_value if has_field(config, "default_bucketize_value") else None


def _positive(option: str, count: int) -> int:
    if count <= 0:
        raise ConfigError(f"{option} is {count}; it must be at least 1")
    return count


def _from_hash(config: Any, _: str, settings: FeatureSettings) -> Hash:
    rows = _positive("hash_bucket_size", config.hash_bucket_size)
    return Hash(rows, rows, settings.farm_hash)


def _from_zch(config: Any, _: str, settings: FeatureSettings) -> Hash:
    return Hash(UNBOUNDED, _positive("zch_size", config.zch.zch_size), settings.farm_hash)


def _from_dynamicemb(config: Any, _: str, settings: FeatureSettings) -> Hash:
    return Hash(UNBOUNDED, _positive("max_capacity", config.dynamicemb.max_capacity), settings.farm_hash)


def _from_num_buckets(config: Any, _: str, __: FeatureSettings) -> Identity:
    return Identity(_positive("num_buckets", config.num_buckets))


def _from_vocab_list(config: Any, default_value: str, _: FeatureSettings) -> Words:
    return Words(vocabulary.from_list(config.vocab_list, default_value, _default_index(config)))


def _from_vocab_dict(config: Any, default_value: str, _: FeatureSettings) -> Words:
    return Words(vocabulary.from_dict(config.vocab_dict, default_value, _default_index(config)))


def _from_vocab_file(config: Any, _: str, __: FeatureSettings) -> Words:
    default_index = _default_index(config)
    if default_index is None:
        raise ConfigError("vocab_file needs default_bucketize_value, the index of words that are not in the file")
    return Words(vocabulary.from_file(vocabulary.read_asset(config.vocab_file, config.asset_dir), default_index))


def _from_boundaries(config: Any, _: str, __: FeatureSettings) -> Boundaries:
    edges = np.array(config.boundaries, np.float32)
    if not (np.diff(edges) > 0).all():
        raise ConfigError(f"boundaries must rise from one to the next; given are {[float(e) for e in edges]}")
    return Boundaries(edges)


MAKERS: dict[str, Callable[[Any, str, FeatureSettings], Bucketizer]] = {
    "zch": _from_zch,
    "dynamicemb": _from_dynamicemb,
    "hash_bucket_size": _from_hash,
    "num_buckets": _from_num_buckets,
    "vocab_list": _from_vocab_list,
    "vocab_dict": _from_vocab_dict,
    "vocab_file": _from_vocab_file,
    "boundaries": _from_boundaries,
}
OPTIONS = tuple(MAKERS)


def make_bucketizer(config: Any, default_value: str, settings: FeatureSettings) -> Bucketizer | None:
    """The bucketizer a feature config asks for, or None.

    Raises:
        ConfigError: several are given, or the one given does not work.
    """
    given = given_options(config)
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are given together; a feature takes one of {', '.join(OPTIONS)}")
    return MAKERS[given[0]](config, default_value, settings) if given else None
