"""Tables of parquet and Arrow files, of a size that what they declare and what is unpacked are held to."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dcpipe.errors import UserError

if TYPE_CHECKING:
    import pyarrow

MAX_ROWS = 10**6  # of all tables of a set
MAX_BYTES = 2**31  # of all columns that are read, unpacked
BATCH_ROWS = 1000

_REMEDY = "pass a synthetic set: 1 to a million images, at most 2 GiB"


def read_tables(paths: Sequence[Path], columns: Iterable[str]) -> "pyarrow.Table":
    """The columns that the first file has of these names, of all files, and the first file's metadata.

    A parquet file states rows, values and sizes before anything is unpacked; rows are then unpacked few at a time and
    counted. An Arrow file is read batch by batch; what one compressed batch unpacks to is known only afterwards.
    Raises: UserError if pyarrow is missing, if a file cannot be read, or if it has more than a set could have.
    """
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        remedy = "pip install 'dcpipe[huggingface]'"
        raise UserError("pyarrow is needed to read this file", where=str(paths[0]), remedy=remedy) from error
    wanted, batches, rows, size = set(columns), list[pyarrow.RecordBatch](), 0, 0
    for path in paths:
        try:
            for batch in _parquet(path, wanted) if path.suffix == ".parquet" else _arrow(path, wanted):
                batches.append(batch)
                rows, size = rows + batch.num_rows, size + batch.nbytes
                _refuse_too_large(path, rows, size)
        except (pyarrow.ArrowException, OSError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"cannot be read ({reason})", where=str(path), remedy="write it again") from error
    if not batches:
        raise UserError("has no rows", where=str(paths[0]), remedy=_REMEDY)
    try:
        return pyarrow.Table.from_batches(batches)
    except pyarrow.ArrowException as error:
        problem = f"these {len(paths)} files do not have columns of the same names and types"
        raise UserError(problem, where=", ".join(map(str, paths[:3])), remedy="write them again, alike") from error


def column_to_tensor(column: "pyarrow.ChunkedArray", where: str) -> Tensor:
    """The numbers of a column, whose rows may be nested lists of one shape: float32, or int64.

    Raises: UserError for anything else.
    """
    import pyarrow
    from pyarrow import compute

    remedy, array, shape = "write numbers of one shape in every row", column.combine_chunks(), [len(column)]
    while True:
        if isinstance(array, pyarrow.ExtensionArray):
            array = array.storage
        if array.null_count:
            raise UserError("lacks numbers in some rows", where=where, remedy=remedy)
        if not isinstance(array, pyarrow.ListArray | pyarrow.LargeListArray | pyarrow.FixedSizeListArray):
            break
        lengths = {one.as_py() for one in compute.unique(compute.list_value_length(array))}
        if len(lengths) != 1:
            raise UserError("holds rows of several shapes", where=where, remedy=remedy)
        shape.append(lengths.pop())
        array = array.flatten()
    if not (pyarrow.types.is_floating(array.type) or pyarrow.types.is_integer(array.type)):
        raise UserError(f"holds {array.type} where numbers should be", where=where, remedy=remedy)
    numbers = array.to_numpy(zero_copy_only=False).reshape(shape)
    return torch.from_numpy(numbers.astype(np.float32 if numbers.dtype.kind == "f" else np.int64))


def _refuse_too_large(path: Path, rows: int, size: int) -> None:
    if rows > MAX_ROWS:
        raise UserError(f"has {rows} rows", where=str(path), remedy=_REMEDY)
    if size > MAX_BYTES:
        raise UserError(f"unpacks to {size / 1e9:.1f} GB or more", where=str(path), remedy=_REMEDY)


def _parquet(path: Path, wanted: set[str]) -> "Iterator[pyarrow.RecordBatch]":
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        stated, values, size = file.metadata, 0, 0
        for group in range(stated.num_row_groups):
            for number in range(stated.num_columns):
                column = stated.row_group(group).column(number)
                if column.path_in_schema.partition(".")[0] in wanted:
                    values += column.num_values
                    size += column.total_uncompressed_size
        # a value that is repeated takes no room in the file; the narrowest that is unpacked takes one byte
        _refuse_too_large(path, stated.num_rows, max(size, values))
        names = [name for name in file.schema_arrow.names if name in wanted]
        # the longest value of a dictionary may stand in every row
        rows = max(1, min(BATCH_ROWS, MAX_BYTES // max(1, size)))
        yield from file.iter_batches(batch_size=rows, columns=names)


def _arrow(path: Path, wanted: set[str]) -> "Iterator[pyarrow.RecordBatch]":
    import pyarrow
    from pyarrow import ipc

    with pyarrow.memory_map(str(path)) as mapped:
        _refuse_too_large(path, 0, mapped.size())
        with ipc.open_stream(mapped) as stream:
            for batch in stream:
                yield batch.select([name for name in batch.schema.names if name in wanted])
