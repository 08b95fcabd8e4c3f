"""Is what is wrong named, and nothing else?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operations.attention import attention

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def page(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a page
    """A page on which all is well, but for these parts."""
    well = {
        "broker": {"available": True, "away": None, "alarms": []},
        "queues": [{"name": "projector", "consumers": 1}],
        "consumers": [consumer()],
        "projections": [projection()],
        "dead_letters": {"waiting": 0},
        "verification": {"mismatch_count": 0, "mismatches": []},
        "jobs": [{"kind": "rebuild", "state": "done"}],
    }
    return {**well, **parts}


def consumer(state: str = "running", seconds: float = 60) -> dict[str, Any]:
    return {"name": "projector", "state": state, "since": NOW - timedelta(seconds=seconds)}


def projection(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - members of the item
    usual = {
        "name": "daily-sales",
        "state": "live",
        "lag_events": 3,
        "lag_seconds": 0.2,
        "stalled_count": 0,
        "paused": [],
        "paused_count": 0,
    }
    return {**usual, **more}


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ({}, []),
        ({"broker": {"available": False, "away": "not configured", "alarms": []}}, [("management_away", None)]),
        ({"broker": {"available": True, "away": None, "alarms": [{"node": "a", "alarm": "disk"}]}}, [("broker_alarm", "a")]),
        *(({"consumers": [consumer(state)]}, [(f"consumer_{state}", "projector")]) for state in ("gone", "stuck", "waiting", "paused")),
        ({"queues": [{"name": "projector", "consumers": 0}]}, [("consumer_unknown_to_broker", "projector")]),
        ({"queues": [{"name": "projector", "consumers": 0}], "consumers": [consumer(seconds=5)]}, []),
        ({"queues": [{"name": "projector", "consumers": None}]}, []),
        ({"queues": []}, []),
        ({"projections": [projection(stalled_count=2, lag_seconds=99.0)]}, [("projection_stalled", "daily-sales")]),
        (
            {"projections": [projection(state="paused", paused=[{}], paused_count=4, lag_seconds=99.0)]},
            [("projection_paused", "daily-sales")],
        ),
        ({"projections": [projection(paused=[{}], paused_count=1, lag_seconds=99.0)]}, [("projection_stores_paused", "daily-sales")]),
        ({"projections": [projection(lag_seconds=10.1)]}, [("projection_late", "daily-sales")]),
        ({"jobs": [{"kind": "redrive", "state": "stopped"}, {"kind": "rebuild", "state": "ready"}]}, [("job_stopped", "redrive")]),
        ({"jobs": 2 * [{"kind": "replay", "state": "failed"}]}, [("job_failed", "replay")]),
        ({"dead_letters": {"waiting": 7}}, [("dead_letters", None)]),
    ],
)
def test_what_is_wrong_is_named_and_nothing_else(parts: dict[str, Any], lines: list[tuple[str, str | None]]) -> None:
    assert [(each["what"], each.get("name")) for each in attention(page(**parts), NOW)] == lines


def test_a_figure_that_differs_from_the_log_comes_first_and_is_named() -> None:
    wrong = {"mismatch_count": 3, "mismatches": [{"where": "stock_level/centre-ville/P-1/on_hand", "expected": 4, "found": 5}]}
    found = attention(page(verification=wrong, dead_letters={"waiting": 2}), NOW)
    assert found[0] == {"what": "mismatches", "count": 3, "detail": "stock_level/centre-ville/P-1/on_hand"}
