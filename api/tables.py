"""How does an answer become a CSV file that opens anywhere, with no cell that runs as a formula?"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic_core import to_json

Separator = Literal[",", ";"]

AMOUNT: Final = re.compile(r"-?[0-9]+([.,][0-9]+)?")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
BYTE_ORDER_MARK: Final = "\ufeff"


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The row with nested objects spread out as ``name.fr``."""
    spread: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            spread |= flat(value, f"{prefix}{name}.")
        else:
            spread[f"{prefix}{name}"] = value
    return spread


def names_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every name that some row has, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def as_csv(
    rows: Sequence[Mapping[str, Any]], separator: Separator = ",", *, decimals: Collection[str] = (), names: Sequence[str] = ()
) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8) with a header line, which has `names` when there is no row to tell them.

    With a semicolon it is the file that a spreadsheet in French opens by a double click: a byte order mark says that it is UTF-8, and the
    columns `decimals` have a decimal comma.
    """
    spread = [flat(row) for row in rows]
    columns = names_of(spread) or names
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(columns)
    writer.writerows([cell(row.get(name)) for name in columns] for row in _localized(spread, decimals if separator == ";" else ()))
    return (BYTE_ORDER_MARK if separator == ";" else "").encode() + out.getvalue().encode()


def _localized(rows: Iterable[Mapping[str, Any]], decimals: Collection[str]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        yield {**row, **{name: str(row[name]).replace(".", ",") for name in decimals if row.get(name) is not None}} if decimals else row


def cell(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    """A value as a cell that can't run as a formula."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) and not AMOUNT.fullmatch(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return to_json(value).decode() if isinstance(value, list) else value
