"""Do requests share confirms without waiting for each other, harming each other or growing without bound?"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from infra.connection import BrokerUnavailable
from infra.group_commit import GroupCommit

Send = Callable[[list[bytes]], Awaitable[Sequence[bool] | None]]


class Broker:
    """Takes groups, and confirms each one only when told."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.confirms: list[asyncio.Future[None]] = []

    async def send(self, items: list[bytes]) -> None:
        self.groups.append(items)
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.confirms.append(confirm)
        await confirm

    def confirm(self, number: int) -> None:
        self.confirms[number].set_result(None)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def grouped(send: Send, *, in_flight: int = 1, events: int = 10, size: int = 1_000, backlog: int = 100) -> GroupCommit[bytes]:
    return GroupCommit(
        send, size_of=len, in_flight=in_flight, group_events=events, group_bytes=size, backlog_events=backlog, backlog_bytes=5_000
    )


def submitted(group: GroupCommit[bytes], *items: bytes) -> list[asyncio.Task[bool]]:
    return [asyncio.create_task(group.submit(item)) for item in items]


async def test_a_lone_item_leaves_in_the_same_turn() -> None:
    broker = Broker()
    (task,) = submitted(grouped(broker.send), b"a")
    await turns(3)
    assert broker.groups == [[b"a"]]
    assert not task.done()
    broker.confirm(0)
    await task


async def test_what_waits_at_the_same_moment_shares_one_send() -> None:
    broker = Broker()
    group = grouped(broker.send)
    first = submitted(group, b"a", b"b")
    await turns()
    second = submitted(group, b"c", b"d", b"e")
    await turns()
    assert broker.groups == [[b"a", b"b"]]
    broker.confirm(0)
    await asyncio.gather(*first)
    await turns()
    assert broker.groups == [[b"a", b"b"], [b"c", b"d", b"e"]]
    broker.confirm(1)
    await asyncio.gather(*second)


@pytest.mark.parametrize("in_flight", [1, 2, 3])
async def test_those_woken_by_a_group_can_submit_again_at_once(in_flight: int) -> None:
    groups: list[int] = []

    async def send(items: list[bytes]) -> None:
        await asyncio.sleep(0)
        groups.append(len(items))

    group = grouped(send, in_flight=in_flight)

    async def client() -> None:
        for _ in range(50):
            await group.submit(b"x")

    async with asyncio.timeout(5):
        await asyncio.gather(*(client() for _ in range(7)))
    assert sum(groups) == 350


async def test_no_more_sends_run_at_once_than_allowed() -> None:
    running = most = 0

    async def send(_: list[bytes]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    group = grouped(send, in_flight=2, events=3)
    await asyncio.gather(*submitted(group, *[b"x"] * 60))
    assert most == 2


async def test_a_group_is_bounded_by_count_and_by_bytes() -> None:
    broker = Broker()
    tasks = submitted(grouped(broker.send, in_flight=9, events=2, size=100), b"a", b"b", b"c" * 60, b"d" * 60, b"e" * 300, b"f")
    await turns(20)
    assert [sum(map(len, items)) for items in broker.groups] == [2, 60, 60, 300, 1]
    for number in range(5):
        broker.confirm(number)
    await asyncio.gather(*tasks)


async def test_a_failure_reaches_everybody_in_the_group_and_nobody_else() -> None:
    broker = Broker()
    group = grouped(broker.send, in_flight=2)
    first = submitted(group, b"a", b"b")
    await turns()
    second = submitted(group, b"c")
    await turns()
    broker.confirms[0].set_exception(BrokerUnavailable("nack"))
    broker.confirm(1)
    outcomes = await asyncio.gather(*first, *second, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["nack", "nack", "True"]


async def test_a_cancelled_waiter_does_not_harm_its_neighbours() -> None:
    broker = Broker()
    group = grouped(broker.send)
    gone, stays = submitted(group, b"a", b"b")
    await turns()
    waiting_gone, waiting_stays = submitted(group, b"c", b"d")
    await turns()
    gone.cancel()
    waiting_gone.cancel()
    await turns()
    broker.confirm(0)
    await stays
    await turns()
    assert broker.groups == [[b"a", b"b"], [b"d"]]
    broker.confirm(1)
    await waiting_stays


async def test_a_full_backlog_refuses_at_once_and_takes_again_when_it_has_moved() -> None:
    broker = Broker()
    group = grouped(broker.send, events=3, backlog=3)
    sent = submitted(group, b"a")
    await turns()
    tasks = submitted(group, b"b", b"c", b"d")
    await turns()
    with pytest.raises(BrokerUnavailable, match="3 events are waiting"):
        await group.submit(b"e")
    with pytest.raises(BrokerUnavailable):
        await group.submit_many([b"f"])
    broker.confirm(0)
    await asyncio.gather(*sent)
    await turns()
    assert group.waiting_events == 0
    late = submitted(group, b"g")
    broker.confirm(1)
    await asyncio.gather(*tasks)
    await turns()
    broker.confirm(2)
    await asyncio.gather(*late)


async def test_the_backlog_is_bounded_in_bytes_too() -> None:
    broker = Broker()
    group = grouped(broker.send)
    task = asyncio.create_task(group.submit(b"x" * 4_000))
    await turns()
    waiting = asyncio.create_task(group.submit(b"x" * 4_000))
    await turns()
    with pytest.raises(BrokerUnavailable):
        await group.submit(b"x" * 2_000)
    broker.confirm(0)
    await turns()
    broker.confirm(1)
    await asyncio.gather(task, waiting)


async def test_many_items_travel_in_as_many_groups_as_needed_and_answer_together() -> None:
    broker = Broker()
    group = grouped(broker.send, in_flight=3, events=4)
    task = asyncio.create_task(group.submit_many([b"%d" % number for number in range(10)]))
    await turns(20)
    assert [len(items) for items in broker.groups] == [4, 4, 2]
    broker.confirm(0)
    broker.confirm(2)
    await turns()
    assert not task.done()
    broker.confirms[1].set_exception(BrokerUnavailable("timeout"))
    with pytest.raises(BrokerUnavailable, match="timeout"):
        await task
    await group.submit_many([])


async def test_draining_sends_what_was_taken_and_takes_no_more() -> None:
    broker = Broker()
    group = grouped(broker.send, events=1)
    tasks = submitted(group, b"a", b"b")
    await turns()
    drained = asyncio.create_task(group.drain())
    await turns()
    with pytest.raises(BrokerUnavailable, match="stopping"):
        await group.submit(b"c")
    broker.confirm(0)
    await turns()
    assert not drained.done()
    broker.confirm(1)
    await drained
    await asyncio.gather(*tasks)


async def test_each_learns_whether_its_own_item_was_taken() -> None:
    async def send(items: list[bytes]) -> list[bool]:
        await asyncio.sleep(0)
        return [item != b"b" for item in items]

    group = grouped(send)
    first, second, many = await asyncio.gather(group.submit(b"a"), group.submit(b"b"), group.submit_many([b"c", b"b", b"d"]))
    assert (first, second, many) == (True, False, [True, False, True])
    assert await group.submit_many([]) == []
