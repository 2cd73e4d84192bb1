"""Checks between fields: registered rules, run over one config."""

from collections.abc import Set

from tzx.runtime.config.checks import (
    data,
    dynamic_tables,
    features,
    groups,
    models,
    networks,
    sampling,
    tables,
    tasks,
    training,
)
from tzx.runtime.config.checks.context import Context
from tzx.runtime.config.checks.registry import RULES
from tzx.runtime.config.problems import Report
from tzx.runtime.config.schema import fields_of
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

__all__ = [
    "RULES",
    "check",
    "data",
    "dynamic_tables",
    "features",
    "groups",
    "models",
    "networks",
    "sampling",
    "tables",
    "tasks",
    "training",
]


def check(config: EasyRecConfig, places: SourceMap, report: Report, damaged: Set[Path]) -> None:
    """Run every registered rule.

    Args:
        config: the message as far as it could be read.
        places: where its fields were written.
        report: takes the findings.
        damaged: paths of fields that could not be read; rules that would only repeat that are left out.
    """
    context = Context(config, places, report, damaged)
    lost = {str(path[0]) for path in damaged if path and _loses_names(config, path)}
    for rule in RULES.values():
        if not lost.intersection(rule.needs):
            context.rule = rule.name
            rule.check(context)


def _loses_names(config: EasyRecConfig, path: Path) -> bool:
    """Whether a field that could not be read may hide names that others refer to."""
    descriptor = config.DESCRIPTOR
    spec = None
    for step in path:
        if isinstance(step, int):
            continue
        spec = fields_of(descriptor).get(step)
        if spec is None:
            return len(path) <= 3
        if spec.message is not None:
            descriptor = spec.message
    return spec is None or spec.message is not None or spec.type == "string"
