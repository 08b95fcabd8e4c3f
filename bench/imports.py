"""How long does a file of 20,000 products take? ``python -m bench.imports`` against the system that runs here (``make run``).

From the request to the last product recorded and in every projection. Each run leaves 20,000 products more, with SKUs of its own.
"""

import argparse
import csv
import io
import os
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Final

import httpx2

from infra.settings import settings
from magasin import demo_data, house, state

ACCOUNT: Final = "admin"
ROWS: Final = 20_000
MOST_SECONDS: Final = 20.0
REQUEST_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.05
COLUMNS: Final = ("sku", "nom_fr", "nom_en", "categorie_fr", "categorie_en", "prix", "code_barres")


def file_of(rows: int, mark: str) -> bytes:
    """The demonstration's products, again and again under other SKUs and names, as a spreadsheet in French writes them."""
    known = demo_data.products()
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";")
    writer.writerow(COLUMNS)
    for number in range(rows):
        product, copy = known[number % len(known)], number // len(known)
        names = f"{product.name_fr} lot {copy}", f"{product.name_en} pack {copy}"
        price = demo_data.money(product.price_cents).replace(".", ",")
        writer.writerow((f"{mark}-{number}", *names, product.category_fr, product.category_en, price, product.barcode))
    return out.getvalue().encode()


def timed(http: httpx2.Client, content: bytes) -> tuple[float, float]:
    """Seconds until the file was accepted, and until all of it was recorded and projected. Raises httpx2.HTTPStatusError."""
    began = time.perf_counter()
    answer = http.post("/api/v2/imports/products", content=content, headers={"Content-Type": "text/csv"}).raise_for_status()
    accepted = time.perf_counter() - began
    while not _everywhere(http, answer.headers["location"]):
        time.sleep(LOOK_SECONDS)
    return accepted, time.perf_counter() - began


def _everywhere(http: httpx2.Client, event: str) -> bool:
    found = http.get(event).raise_for_status().json()
    return found["status"] == "recorded" and all(found["projections"].values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when it takes longer than it may."""
    parser = argparse.ArgumentParser(description="Times the import of a file of products.")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the file")
    rows = parser.parse_args(arguments).rows
    url = os.environ.get("MAGASIN_URL") or state.addresses(house.home_of(settings()))["MAGASIN_URL"]
    content = file_of(rows, f"i{secrets.token_hex(4)}")
    with httpx2.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False) as http:
        asked = {"username": ACCOUNT, "password": settings().demo_password}
        token = http.post("/api/v2/auth/token", data=asked).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        accepted, recorded = timed(http, content)
    sys.stdout.write(
        f"{rows} products, {len(content) / 1e6:.1f} MB: accepted after {accepted:.1f} s, all recorded after {recorded:.1f} s\n"
    )
    sys.stdout.write(f"{rows / recorded:.0f} a second; {ROWS} may take {MOST_SECONDS:.0f} s\n")
    return int(recorded > MOST_SECONDS * rows / ROWS)


if __name__ == "__main__":
    sys.exit(main())
