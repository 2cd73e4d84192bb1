import numpy as np
import pytest

from tzx.datasets.hashing import mix, murmur_of_8_bytes, normal, pick, uniform

IDS = np.arange(100_000)


def murmur_by_the_book(data: bytes, seed: int = 0xC70F6907) -> int:
    """MurmurHash64A in plain integers."""
    mask, m = 2**64 - 1, 0xC6A4A7935BD1E995
    h = seed ^ (len(data) * m & mask)
    for start in range(0, len(data) // 8 * 8, 8):
        k = int.from_bytes(data[start : start + 8], "little") * m & mask
        h = (h ^ ((k ^ (k >> 47)) * m & mask)) * m & mask
    tail = data[len(data) // 8 * 8 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 47)) * m & mask
    return h ^ (h >> 47)


def test_murmur_agrees_with_the_book():
    assert murmur_by_the_book(b"abc") % 100 == 33 and murmur_by_the_book(b"hij") % 100 == 66
    texts = [b"%08x" % n for n in (0, 1, 0xDEADBEEF, 2**32 - 1)]
    words = np.frombuffer(b"".join(texts), np.uint64)
    assert list(murmur_of_8_bytes(words)) == [murmur_by_the_book(text) for text in texts]


def test_mix_separates_ids_and_keys():
    assert len(np.unique(mix(IDS, 1))) == len(IDS)
    assert not np.array_equal(mix(IDS, 1), mix(IDS, 2))
    assert not np.array_equal(mix(IDS, 1, 2), mix(IDS, 2, 1))
    assert np.array_equal(mix(IDS, 5)[::-1], mix(IDS[::-1], 5))


def test_distributions():
    assert uniform(IDS, 3).mean() == pytest.approx(0.5, abs=0.01)
    z = normal(IDS, 3)
    assert z.mean() == pytest.approx(0, abs=0.02) and z.std() == pytest.approx(1, abs=0.02)
    counts = np.bincount(pick(IDS, 7, 3), minlength=7)
    assert len(counts) == 7 and counts.min() > 0.95 * len(IDS) / 7
