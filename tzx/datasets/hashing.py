"""Numbers that depend on ids alone: what a generator knows about an id without keeping a table of all ids."""

import numpy as np
import numpy.typing as npt

UInt64 = npt.NDArray[np.uint64]
Float64 = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MURMUR_M = np.uint64(0xC6A4A7935BD1E995)
_MURMUR_SEED = np.uint64(0xC70F6907)


def mix(ids: npt.NDArray[np.int64], *keys: int) -> UInt64:
    """Scramble ids to 64 bits, differently for every tuple of keys (splitmix64 finaliser, Steele et al. 2014)."""
    state = ids.astype(np.uint64)
    with np.errstate(over="ignore"):
        for key in (0, *keys):
            state = state + _GOLDEN * np.uint64(key + 1)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def uniform(ids: npt.NDArray[np.int64], *keys: int) -> Float64:
    """A fixed number in (0, 1) for every id."""
    return ((mix(ids, *keys) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def normal(ids: npt.NDArray[np.int64], *keys: int) -> Float64:
    """A fixed standard normal number for every id (Box and Muller, 1958)."""
    radius = np.sqrt(-2.0 * np.log(uniform(ids, *keys, 1)))
    return radius * np.cos(2.0 * np.pi * uniform(ids, *keys, 2))


def pick(ids: npt.NDArray[np.int64], choices: int, *keys: int) -> npt.NDArray[np.int64]:
    """A fixed choice in [0, choices) for every id."""
    return (mix(ids, *keys) % np.uint64(choices)).astype(np.int64)


def murmur_of_8_bytes(words: UInt64) -> UInt64:
    """MurmurHash64A of 8-byte strings given as little-endian words: the hash behind `hash_bucket_size`."""
    shift = np.uint64(47)
    with np.errstate(over="ignore"):
        k = words * _MURMUR_M
        k = (k ^ (k >> shift)) * _MURMUR_M
        h = ((_MURMUR_SEED ^ (np.uint64(8) * _MURMUR_M)) ^ k) * _MURMUR_M
        h = (h ^ (h >> shift)) * _MURMUR_M
        return h ^ (h >> shift)
