"""Where each field of a config was written."""

from tzx.runtime.config.source import Place

Path = tuple[str | int, ...]


class SourceMap:
    """Places by message path, such as ("feature_configs", 3, "id_feature", "expression")."""

    def __init__(self) -> None:
        self._names: dict[Path, Place] = {}
        self._values: dict[Path, Place] = {}

    def record(self, path: Path, name: Place, value: Place) -> None:
        """Remember where a field's name and value stand; a later mention wins."""
        self._names[path] = name
        self._values[path] = value

    def forget(self, path: Path) -> None:
        """Drop a path and everything below it."""
        size = len(path)
        for table in (self._names, self._values):
            for known in [known for known in table if known[:size] == path]:
                del table[known]

    def written(self, path: Path) -> bool:
        """Whether this very path was written."""
        return path in self._names

    def name(self, path: Path) -> Place | None:
        """Place of the field's name, or of the nearest field around it that was written."""
        return self._find(self._names, path)

    def value(self, path: Path) -> Place | None:
        """Place of the field's value, or of the name of the nearest field around it that was written."""
        if path in self._values:
            return self._values[path]
        return self._find(self._names, path)

    @staticmethod
    def _find(table: dict[Path, Place], path: Path) -> Place | None:
        for size in range(len(path), 0, -1):
            if place := table.get(path[:size]):
                return place
        return None
