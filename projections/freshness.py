"""How far is what a report is made of, when it is made of several things?"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from projections.report import Report
from projections.standing import Standing, log_standing, projection_standings


def standing_of(connection: Connection, report: Report, stores: Collection[str] | None) -> Standing:
    """The standing of all that the report reads: as old as the oldest of it. `stores` None means all."""
    found = projection_standings(connection, report.follows, stores)
    if report.reads_stock:
        found.append(log_standing(connection, stores))
    # Shops are spread over time zones: by the hour, the new day comes in time for each of them.
    clock = [f"{datetime.now(UTC):%Y-%m-%dT%H}"] if report.by_the_clock else []
    return replace(
        found[0],
        position="|".join([*(each.position for each in found), *clock]),
        as_of=min((each.as_of for each in found if each.as_of), default=None),
        lag_seconds=max(each.lag_seconds for each in found),
        stalled_stores=tuple(sorted({store_id for each in found for store_id in each.stalled_stores})),
    )
