"""Checks between fields."""

from collections.abc import Set

from tzx.runtime.config.problems import Report
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


def check(config: EasyRecConfig, places: SourceMap, report: Report, damaged: Set[Path]) -> None:
    """Run every registered rule."""
