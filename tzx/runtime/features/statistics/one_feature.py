"""What a data set holds for one feature."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tzx.runtime.features.arrays import Int32
from tzx.runtime.features.bucketizers import Boundaries
from tzx.runtime.features.explaining import bucketizer_text
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.numbers import to_floats
from tzx.runtime.features.ragged import BadValue, Ragged, as_rows
from tzx.runtime.features.statistics.counting import Counted, count_distinct
from tzx.runtime.features.statistics.distinct import Distinct
from tzx.runtime.features.statistics.frequent import Frequent
from tzx.runtime.features.statistics.numbers import Numbers
from tzx.runtime.features.tracing import Traced, out_of_range, outer_buckets, unknown

TOP = 20
KNOWN = ("type", "is_sequence", "is_sparse", "bucketizer", "table_rows")
COUNTERS = (
    "rows", "missing_rows", "slots", "missing_slots", "defaulted_slots", "bad_slots", "values",
    "cut_rows", "cut_values",
)  # fmt: skip
# Counters that only some features have: null for the others.
OPTIONAL = ("unknown_values", "out_of_range_values", "below_values", "above_values")


@dataclass
class FeatureStatistics:
    """Counters and sketches of one feature. Slots are rows, or elements of a sequence.

    Args:
        type: kind of the feature, such as id_feature.
        is_sequence: rows hold elements.
        is_sparse: yields ids.
        bucketizer: what makes ids, in words.
        table_rows: of the embedding table, 0 for none.
        counters: by the names in COUNTERS, and those of OPTIONAL that apply.
        missing_inputs: rows without a value, for each input.
        distinct: of the values before bucketizing.
        frequent: the same.
        numbers: of numeric features: values before bucketizing.
        lengths: values per row, or elements per row before they are cut.
        weights: of weighted features.
    """

    type: str
    is_sequence: bool
    is_sparse: bool
    bucketizer: str
    table_rows: int = 0
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    missing_inputs: dict[str, int] = field(default_factory=dict)
    distinct: Distinct = field(default_factory=Distinct)
    frequent: Frequent = field(default_factory=Frequent)
    numbers: Numbers | None = None
    lengths: Numbers = field(default_factory=Numbers)
    weights: Numbers | None = None

    @staticmethod
    def of(feature: Feature) -> "FeatureStatistics":
        """Statistics of no rows."""
        made_by, rows = bucketizer_text(feature), feature.num_embeddings
        return FeatureStatistics(feature.kind, feature.is_sequence, feature.is_sparse, made_by, rows)

    def add(self, traced: Traced) -> None:
        """Count a batch of rows.

        Raises:
            DataError: a value cannot be used, other than an id beyond the table, which is counted.
        """
        with traced.naming():
            self._add(traced, traced.values)

    def _add(self, traced: Traced, values: Ragged) -> None:
        self._count_missing(traced, values)
        self._count_cut(traced, values)
        is_numeric = not traced.feature.is_sparse or isinstance(traced.bucketizer, Boundaries)
        try:
            if is_numeric:
                values = replace(values, values=to_floats(values))
            counted = count_distinct(values.values)
            self._count_ids(traced, counted)
        except BadValue:
            traced.result  # noqa: B018 - which names the row
            raise
        self.distinct.add(counted.hashes)
        self.frequent.add(counted.hashes, counted.counts, counted.values)
        if is_numeric:
            self.numbers = self.numbers or Numbers()
            self.numbers.add(np.asarray(counted.values), counted.counts)
        if values.weights is not None and traced.feature.is_weighted:
            self.weights = self.weights or Numbers()
            _add_counted(self.weights, values.weights)

    def _count_missing(self, traced: Traced, values: Ragged) -> None:
        missing = int((values.lengths == 0).sum())
        of_rows = as_rows(values).lengths
        self._count("rows", len(of_rows))
        self._count("missing_rows", int((of_rows == 0).sum()))
        self._count("slots", len(values.lengths))
        self._count("missing_slots", missing)
        self._count("defaulted_slots", missing if traced.has_default else 0)
        self._count("values", len(values.values))
        self._count("bad_slots", traced.bad_slots)
        for entry, read in zip(traced.inputs, traced.read, strict=True):
            name = f"{entry.side}:{entry.name}" if entry.side else entry.name
            absent = int((as_rows(read).lengths == 0).sum())
            self.missing_inputs[name] = self.missing_inputs.get(name, 0) + absent

    def _count_cut(self, traced: Traced, values: Ragged) -> None:
        lengths: Int32 = values.lengths
        if traced.values_cut is not None:
            lengths = lengths + traced.values_cut
            self._count("cut_values", int(traced.values_cut.sum()))
        before = traced.elements_before_cut if values.seq_lengths is not None else None
        if before is not None:
            kept = values.seq_lengths
            assert kept is not None
            self._count("cut_rows", int((before > kept).sum()))
            lengths = before
        elif values.seq_lengths is not None:
            lengths = values.seq_lengths
        elif traced.values_cut is not None:
            self._count("cut_rows", int((traced.values_cut > 0).sum()))
        _add_counted(self.lengths, lengths)

    def _count_ids(self, traced: Traced, counted: Counted) -> None:
        ragged = Ragged(counted.values, np.ones(len(counted.counts), np.int32))
        strange = unknown(traced.bucketizer, counted.values)
        beyond = out_of_range(traced.bucketizer, ragged)
        outer = outer_buckets(traced.bucketizer, ragged) or (None, None)
        for name, mask in zip(OPTIONAL, (strange, beyond, *outer), strict=True):
            if mask is not None:
                self._count(name, int(counted.counts[mask].sum()))

    def _count(self, name: str, number: int) -> None:
        self.counters[name] = self.counters.get(name, 0) + number

    def merge(self, other: "FeatureStatistics") -> None:
        """Count what another has seen."""
        for name, number in other.counters.items():
            self._count(name, number)
        for name, number in other.missing_inputs.items():
            self.missing_inputs[name] = self.missing_inputs.get(name, 0) + number
        self.distinct.merge(other.distinct)
        self.frequent.merge(other.frequent)
        self.lengths.merge(other.lengths)
        for name in ("numbers", "weights"):
            mine, others = getattr(self, name), getattr(other, name)
            if others is not None:
                setattr(self, name, mine or Numbers())
                getattr(self, name).merge(others)

    def share(self, name: str, of: str) -> float | None:
        """One counter over another; None where there is nothing to count."""
        number, total = self.counters.get(name), self.counters[of]
        return None if number is None or not total else number / total

    def summary(self) -> dict[str, Any]:
        """What a person wants to know; shares of rows, slots and values."""
        return {
            "coverage": self._coverage(),
            "default_share": self.share("defaulted_slots", "slots"),
            "out_of_vocabulary_share": self.share("unknown_values", "values"),
            "out_of_range_share": self.share("out_of_range_values", "values"),
            "below_first_boundary_share": self.share("below_values", "values"),
            "above_last_boundary_share": self.share("above_values", "values"),
            "bad_value_share": self.share("bad_slots", "slots"),
            "clipped_share": self.share("cut_rows", "rows"),
            "distinct": self.distinct.estimate,
            "distinct_exact": self.distinct.exact,
            "top": [
                {"value": text, "count": count, "at_most": count + missed}
                for text, count, missed in self.frequent.top(TOP)
            ],
            "numbers": None if self.numbers is None else self.numbers.summary(),
            "lengths": self.lengths.summary(),
            "weights": None if self.weights is None else self.weights.summary(),
        }

    def _coverage(self) -> float | None:
        missing, rows = self.counters.get("missing_rows"), self.counters["rows"]
        return None if missing is None or not rows else (rows - missing) / rows

    def to_json(self) -> dict[str, Any]:
        """Stored form, with the summary first."""
        known = {name: getattr(self, name) for name in KNOWN}
        sketches = {
            "distinct": self.distinct.to_json(),
            "frequent": self.frequent.to_json(),
            "numbers": None if self.numbers is None else self.numbers.to_json(),
            "lengths": self.lengths.to_json(),
            "weights": None if self.weights is None else self.weights.to_json(),
        }
        counted = {name: self.counters.get(name) for name in (*COUNTERS, *OPTIONAL)}
        return {
            **known,
            "summary": self.summary(),
            "counters": counted,
            "missing_inputs": self.missing_inputs,
            "sketches": sketches,
        }

    @staticmethod
    def from_json(record: dict[str, Any]) -> "FeatureStatistics":
        """Read the stored form; the summary is made anew from the rest."""
        known = {name: record[name] for name in (*KNOWN, "missing_inputs")}
        counters = {name: number for name, number in record["counters"].items() if number is not None}
        kept = record["sketches"]
        made = FeatureStatistics(**known, counters=counters)
        made.distinct, made.frequent = Distinct.from_json(kept["distinct"]), Frequent.from_json(kept["frequent"])
        made.lengths = Numbers.from_json(kept["lengths"])
        made.numbers = Numbers.from_json(kept["numbers"]) if kept["numbers"] else None
        made.weights = Numbers.from_json(kept["weights"]) if kept["weights"] else None
        return made


def _add_counted(sketch: Numbers, numbers: Any) -> None:
    distinct, counts = np.unique(numbers, return_counts=True)
    sketch.add(distinct, counts)
