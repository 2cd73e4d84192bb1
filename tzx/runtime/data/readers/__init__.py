"""Readers of rows as Arrow record batches, one file per kind of source."""

from collections.abc import Sequence

from tzx.runtime.data.readers import csv, parquet
from tzx.runtime.data.readers.paths import expand
from tzx.runtime.data.readers.source import ORIGIN, Chunk, FileSource, Reader, open_all
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import data_pb2

__all__ = ["ORIGIN", "Chunk", "FileSource", "Reader", "open_reader"]


def open_reader(
    config: data_pb2.DataConfig, paths: str, columns: Sequence[str] | None = None, threads: bool = False
) -> Reader:
    """Open the files that `paths` names and count their rows.

    Args:
        config: says the kind of source and how CSV files look.
        paths: comma list of files, globs, folders and fsspec URLs.
        columns: columns to read; None for all.
        threads: let Arrow decode on several cores.

    Raises:
        UserError: nothing is found under a path.
        DataError: a file is damaged or lacks a column.
    """
    kind = config.dataset_type
    if kind == data_pb2.ParquetDataset:
        files = expand(paths, parquet.SUFFIXES)
        return Reader(open_all(files, lambda f: parquet.ParquetSource(f, threads)), columns)
    if kind == data_pb2.CsvDataset:
        return Reader(csv.open_csv_files(expand(paths, csv.SUFFIXES), config, columns), columns)
    name = data_pb2.DatasetType.Name(kind)
    raise ConfigError(
        f"data_config.dataset_type: {name} cannot be read by this version; ParquetDataset and CsvDataset can."
        f" Write the table to Parquet files and give their path (given: {paths})"
    )
