"""Overrides from the command line, applied to a message with the same checks as the file.

Two spellings share one machine: `--set path=value`, whose value is text format (strings need no quotes), and the JSON
object of TorchEasyRec's edit_config_json. An override may switch a oneof to another member; the file may not.
"""

import json
from typing import Any

from google.protobuf.message import Message

from tzx.runtime.config.jsonformat import read_json_field
from tzx.runtime.config.paths import PathError, parse_path, split_assignment
from tzx.runtime.config.problems import Report, quoted
from tzx.runtime.config.schema import FieldSpec, is_any
from tzx.runtime.config.source import Place, Source
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.config.syntax import Items, Node, Scalar
from tzx.runtime.config.textformat import read_fields, read_value
from tzx.runtime.config.walker import Refused, Target, UnreadType, ValueReader, Walker


class Edits:
    """Applies overrides one after the other to one config."""

    def __init__(self, config: Message, places: SourceMap, report: Report, needs_own_types: bool = True) -> None:
        self.root = Target(config, ())
        self.places = places
        self.report = report
        self.needs_own_types = needs_own_types
        self.damaged: set[Path] = set()

    def apply_set(self, override: str) -> None:
        """Apply `path=value`; an empty value clears the field."""
        source = Source(f"--set {override}", override, is_file=False)
        equals = split_assignment(override)
        if equals < 0:
            self.report.error(Place(source, 0, len(override)), 'expected "path=value"')
            return
        self._apply(source, equals, _TextValue(source, equals + 1, self.report))

    def apply_json(self, text: str) -> None:
        """Apply a JSON object from paths to values."""
        source = Source("--edit_config_json", text, is_file=False)
        try:
            edits = json.loads(text)
        except (ValueError, RecursionError) as error:
            start = min(getattr(error, "pos", 0), len(text))
            self.report.error(Place(source, start, start + 1), f"not JSON: {getattr(error, 'msg', error)}")
            return
        if not isinstance(edits, dict):
            self.report.error(Place(source, 0, len(text)), "expected a JSON object from path to value")
            return
        for paths, value in edits.items():
            for path, single in self._split_json(source, paths, value):
                self._apply_json_value(path, single)

    def _split_json(self, source: Source, paths: str, value: Any) -> list[tuple[str, Any]]:
        """Pairs of path and value; several paths joined by ";" share out the values in order."""
        names = [path.strip() for path in paths.split(";") if path.strip()]
        if len(names) == 1:
            return [(names[0], value)]
        if not names:
            self.report.error(Place(source, 0, len(source.text)), "expected a path as the name of each value")
            return []
        values = [part.strip() for part in value.split(";")] if isinstance(value, str) else value
        values = values if isinstance(values, list) else [values]
        if len(values) == 1:
            values = values * len(names)
        if len(values) != len(names):
            message = f"{quoted(paths)} names {len(names)} fields and gives {len(values)} values"
            self.report.error(Place(source, 0, len(source.text)), message)
            return []
        return list(zip(names, values, strict=True))

    def _apply_json_value(self, path: str, value: Any) -> None:
        shown = value if isinstance(value, str) else json.dumps(value)
        source = Source(f"--edit_config_json {path}", f"{path}={shown}", is_file=False)
        reader: ValueReader = _TextValue(source, len(path) + 1, self.report)
        if isinstance(value, dict | list):
            reader = _JsonValue(source, len(path) + 1, self.report)
        self._apply(source, len(path), reader)

    def _apply(self, source: Source, path_end: int, read: ValueReader) -> None:
        text = source.text
        walker = Walker(source, self.places, self.report, self.needs_own_types)
        try:
            start = len(text[:path_end]) - len(text[:path_end].lstrip())
            steps = parse_path(text, start, len(text[:path_end].rstrip()))
            targets = [self.root]
            for step in steps[:-1]:
                targets = walker.descend(targets, step)
            walker.assign(targets, steps[-1], read)
            walker.close()
            self.damaged |= walker.damaged
        except UnreadType:
            return
        except (PathError, Refused) as problem:
            self.report.error(Place(source, problem.start, problem.end), str(problem))


class _TextValue:
    """The value behind "=" as text format; strings may stand without quotes."""

    def __init__(self, source: Source, start: int, report: Report) -> None:
        text = source.text
        self.source = source
        self.start = start + len(text[start:]) - len(text[start:].lstrip())
        self.end = max(self.start, len(text.rstrip()))
        self.report = report

    def __call__(self, spec: FieldSpec) -> Node | None:
        raw = self.source.text[self.start : self.end]
        if not raw:
            return None
        if spec.type == "string" and not (spec.is_repeated and raw[0] == "["):
            is_quoted = len(raw) > 1 and raw[0] in "\"'" and raw[-1] == raw[0]
            if not is_quoted:
                return Scalar(self.start, self.end, "string", raw)
        opens = "{<" if spec.message is not None and is_any(spec.message) else "{<["
        if spec.message is not None and not spec.is_repeated and raw[0] not in opens:
            return read_fields(self.source, self.start, self.report)
        value = read_value(self.source, self.start, self.report)
        if spec.type == "string" and isinstance(value, Items):
            for item in value.values:
                if isinstance(item, Scalar):
                    item.kind = "string"
        if value is None:
            raise Refused("value cannot be read", self.start, self.end)
        return value


class _JsonValue:
    """The value behind "=" as JSON."""

    def __init__(self, source: Source, start: int, report: Report) -> None:
        self.source = source
        self.start = start
        self.report = report

    def __call__(self, spec: FieldSpec) -> Node | None:
        return read_json_field(self.source, self.start, spec, self.report)
