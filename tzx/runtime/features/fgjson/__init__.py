"""fg.json, the language in which other engines are told what features to make: written from a config, and read."""

from tzx.runtime.features.fgjson.reading import feature_configs_from_fg_json
from tzx.runtime.features.fgjson.writing import FgJson, make_fg_json, write_fg_json

__all__ = ["FgJson", "feature_configs_from_fg_json", "make_fg_json", "write_fg_json"]
