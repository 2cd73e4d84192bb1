"""Floor 2: parse, check and override configs. Never imports torch."""

from tzx.runtime.config.accessors import effective_fg_mode, which_feature
from tzx.runtime.config.loading import dump_config, load_config, parse_text

__all__ = ["dump_config", "effective_fg_mode", "load_config", "parse_text", "which_feature"]
