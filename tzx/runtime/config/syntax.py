"""Trees of a config before it is known what the fields mean; text format and JSON both end up here."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Scalar:
    """A word, number or string. `text` is as written, for strings decoded."""

    start: int
    end: int
    kind: str  # "word" | "number" | "string"
    text: str


@dataclass(slots=True)
class Items:
    """A bracketed list."""

    start: int
    end: int
    values: list["Scalar | Items | Block"] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """A field name with its value."""

    start: int
    end: int
    name: str
    value: "Scalar | Items | Block"


@dataclass(slots=True)
class Block:
    """The fields of one message."""

    start: int
    end: int
    entries: list[Entry] = field(default_factory=list)


Node = Scalar | Items | Block
