"""Does waiting grow with failures, end with success or time, and stay bounded?"""

import pytest

from api import throttle as module
from api.problems import Problem
from api.throttle import WITH_ADDRESS, WITH_NAME, InMemory, Throttle


class Clock:
    """A clock that tests turn."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        """The seconds since 1970."""
        return self.now


async def wait_of(throttle: Throttle, username: str = "alice", address: str = "192.0.2.1") -> int:
    try:
        await throttle.admit(username, address)
    except Problem as problem:
        return int(problem.headers["Retry-After"])
    return 0


async def test_each_failure_after_the_free_ones_doubles_the_wait_up_to_a_minute() -> None:
    throttle, waits = Throttle(None, clock=Clock()), []
    for _ in range(14):
        waits.append(await wait_of(throttle))
        await throttle.failed("alice", "192.0.2.1")
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_success_forgets_the_name_but_not_the_address() -> None:
    clock = Clock()
    throttle = Throttle(None, clock=clock)
    for _ in range(WITH_ADDRESS.free + 1):
        await throttle.failed("alice", "192.0.2.1")
    assert await wait_of(throttle) == WITH_NAME.longest_seconds
    await throttle.succeeded("alice")
    assert await wait_of(throttle) == 2
    assert await wait_of(throttle, address="192.0.2.2") == 0
    clock.now += 2
    assert await wait_of(throttle) == 0


async def test_after_a_quarter_of_an_hour_all_is_forgotten() -> None:
    clock = Clock()
    throttle = Throttle(None, clock=clock)
    for _ in range(50):
        await throttle.failed("alice", "192.0.2.1")
    clock.now += module.REMEMBERED_SECONDS
    await throttle.failed("alice", "192.0.2.1")
    assert await wait_of(throttle) == 0


async def test_no_more_keys_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    failures = InMemory()
    for number in range(5):
        await failures.add(f"key-{number}", 1.0)
    assert [(await failures.read(f"key-{number}"))[0] for number in range(5)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("testclient", "", False),
    ],
)
async def test_an_address_is_what_one_customer_has(one: str, other: str, *, same: bool) -> None:
    throttle = Throttle(None, clock=Clock())
    for number in range(WITH_ADDRESS.free):
        await throttle.failed(f"name-{number}", one)
    assert (await wait_of(throttle, address=other) > 0) == same
