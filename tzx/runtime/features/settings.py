"""The two process-wide switches of the compatible system, read here and nowhere else."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True)
class FeatureSettings:
    """How ids are hashed and how a grouped sequence names its members."""

    farm_hash: bool = False
    group_join: str = "__"

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> "FeatureSettings":
        """Settings asked for by USE_FARM_HASH_TO_BUCKETIZE and USE_RTP; logs every one that is switched on."""
        env = os.environ if environ is None else environ
        farm_hash = env.get("USE_FARM_HASH_TO_BUCKETIZE", "").lower() in TRUE_WORDS
        rtp = env.get("USE_RTP", "").lower() in TRUE_WORDS
        log = logging.getLogger("tzx")
        if farm_hash:
            log.info("USE_FARM_HASH_TO_BUCKETIZE is set: strings are hashed with FarmHash Fingerprint64")
        if rtp:
            log.info("USE_RTP is set: members of a grouped sequence are named <sequence>_<feature>")
        return FeatureSettings(farm_hash=farm_hash, group_join="_" if rtp else "__")
