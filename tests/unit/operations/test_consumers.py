"""What is said of a consumer whose processes say this, or nothing any more?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.management import Look, NodeFigures, QueueFigures
from infra.pauses import Kind, Pause, Target
from operations.consumers import Instance, oldest, told
from operations.overview import Situation, broker, queues, seconds_to_empty

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
NAME = "stock-writer"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def instance(state: str = "running", *, silent: float = 1, name: str = NAME, **more: Any) -> Instance:  # noqa: ANN401 - any column
    row = {
        "instance": "i",
        "name": name,
        "host": "h",
        "pid": 7,
        "version": "1.2.3",
        "state": state,
        "since": ago(100),
        "started_at": ago(200),
        "seen_at": ago(silent),
        "last_error": None,
        "last_error_at": None,
        "oldest_at": None,
        "consumed_at": ago(silent),
    }
    return Instance({**row, **more}, silent)


def pause(name: str = NAME, kind: Kind = "consumer") -> Pause:
    return Pause(Target(kind, name), "why", "operateur", ago(60), None)


def item(*instances: Instance, pauses: tuple[Pause, ...] = ()) -> dict[str, Any]:
    return next(each for each in told(instances, pauses, NOW) if each["name"] == NAME)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["running"], "running"),
        (["running", "waiting"], "waiting"),
        (["running", "waiting", "stuck"], "stuck"),
        (["running", "paused"], "paused"),
        (["running", "standby"], "running"),
        (["standby"], "standby"),
        ([], "gone"),
        (["stopped"], "gone"),
    ],
)
def test_of_several_processes_the_worst_counts(states: list[str], state: str) -> None:
    assert item(*map(instance, states))["state"] == state


def test_a_silent_process_is_gone_and_another_one_may_do_its_work() -> None:
    found = item(instance(silent=16, last_error="broken", last_error_at=ago(20)), instance())
    assert (found["state"], [each["state"] for each in found["instances"]]) == ("running", ["gone", "running"])
    assert (found["last_error"], found["version"], found["since"]) == ("broken", "1.2.3", ago(100))
    assert item(instance(silent=16))["state"] == "gone"


def test_what_ended_long_ago_is_not_shown_any_more() -> None:
    assert item(instance(silent=4_000), instance("stopped", silent=4_000))["instances"] == []


def test_a_consumer_without_a_process_that_should_wait_is_paused_and_one_that_still_works_is_running() -> None:
    assert item(pauses=(pause(),))["state"] == "paused"
    still = item(instance(), pauses=(pause(),))
    assert (still["state"], still["pause"]["reason"]) == ("running", "why")
    assert item(pauses=(pause(kind="projection"), pause("projector")))["state"] == "gone"


def test_every_consumer_is_listed_and_those_that_nobody_expected_come_last() -> None:
    assert [each["name"] for each in told([instance(name="odd")], [], NOW)] == [
        "stock-writer",
        "projector",
        "dead-letters",
        "outbound",
        "odd",
    ]


def test_the_oldest_is_what_the_slowest_has_in_hand() -> None:
    assert oldest(NAME, [instance(oldest_at=ago(5)), instance(oldest_at=ago(9)), instance()], NOW) == (9.0, False)


def test_when_nobody_consumes_the_oldest_is_what_was_given_back_last() -> None:
    before = instance(silent=5_000, oldest_at=ago(5_000))
    given_back = instance("paused", oldest_at=ago(70), consumed_at=ago(60))
    restarted = instance("paused", consumed_at=None)
    assert oldest(NAME, [before, given_back, restarted], NOW) == (70.0, False)
    assert oldest(NAME, [before, instance("stopped", silent=60, oldest_at=ago(70)), restarted], NOW) == (70.0, False)


def test_where_nothing_was_in_hand_the_oldest_is_only_bounded() -> None:
    assert oldest(NAME, [instance("paused", consumed_at=ago(60))], NOW) == (60.0, True)
    assert oldest(NAME, [instance("paused", consumed_at=None)], NOW) == (None, False)
    assert oldest(NAME, [], NOW) == (None, False)


@pytest.mark.parametrize(
    ("ready", "incoming", "outgoing", "seconds"), [(0, 9, 0, 0.0), (90, 5, 20, 6.0), (90, 20, 20, None), (90, 20, 5, None), (1, 0, 0, None)]
)
def test_the_time_to_empty_follows_from_the_rates(ready: int, incoming: float, outgoing: float, seconds: float | None) -> None:
    assert seconds_to_empty(QueueFigures("q", ready, 0, 1, incoming, outgoing)) == seconds


def situation(look: Look, *instances: Instance) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in queues(Situation((pause(),), instances, look, NOW))}


def test_an_empty_queue_has_no_oldest_message_and_others_queues_are_told_too() -> None:
    look = Look((QueueFigures(NAME, 0, 0, 1, 0, 0), QueueFigures("aaa", 4, 1, 1, 0, 2)))
    found = situation(look, instance(oldest_at=ago(5)))
    assert list(found) == ["stock-writer", "projector", "dead-letters", "outbound", "aaa"]
    assert (found[NAME]["oldest_seconds"], found[NAME]["paused"], found["projector"]["paused"]) == (0.0, True, False)
    assert (found["aaa"]["ready"], found["aaa"]["unacknowledged"], found["aaa"]["seconds_to_empty"]) == (4, 1, 2.0)


def test_with_the_broker_away_what_is_known_without_it_is_told() -> None:
    found = situation(Look(away="no answer in time"), instance(oldest_at=ago(5)), instance(name="projector"))
    assert (found[NAME]["ready"], found[NAME]["oldest_seconds"]) == (None, 5.0)
    assert (found["projector"]["oldest_seconds"], found["projector"]["oldest_at_most"]) == (None, False)


def test_alarms_are_named_by_node() -> None:
    bad = NodeFigures("b", running=False, memory_alarm=True, disk_alarm=True, partitioned=True)
    good = NodeFigures("a", running=True, memory_alarm=False, disk_alarm=False, partitioned=False)
    assert [(each["node"], each["alarm"]) for each in broker(Look(nodes=(good, bad)))["alarms"]] == [
        ("b", "memory"),
        ("b", "disk"),
        ("b", "partition"),
        ("b", "down"),
    ]
