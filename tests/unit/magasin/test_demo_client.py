"""Does the demonstration reach a system that is busy, away for a while, or has forgotten who it is?"""

import json
from uuid import UUID, uuid4

import httpx2
import pytest

from magasin.demo_client import Answer, Client, DemonstrationError, Outcome, RefusedError
from tests.unit.magasin.paper_system import PASSWORD, PaperSystem

HERE = "/stores/292"


class Listing(Answer):
    """A list of anything."""

    items: list[dict[str, str]]


async def define(client: Client) -> None:
    await client.command("admin", "PUT", HERE, b'{"name": "Here"}', {"Idempotency-Key": str(uuid4())})


@pytest.mark.parametrize("trouble", [503, 429, 502, 504, httpx2.ConnectError("away"), httpx2.ReadTimeout("slow")])
async def test_a_command_is_repeated_until_it_is_taken_and_takes_effect_once(trouble: int | Exception) -> None:
    system = PaperSystem()
    async with system.client() as client:
        await define(client)
        system.troubles.extend([trouble, trouble])
        await define(client)
        assert client.repeated == 2
    assert len(system.events) == 2
    assert system.asked[f"PUT {HERE}"] == 4


async def test_the_interface_says_how_long_to_wait_up_to_a_bound() -> None:
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    answers = iter([httpx2.Response(503, headers={"Retry-After": text}) for text in ("3", "86400", "Wed, 21 Oct 2015 07:28:00 GMT")])
    transport = httpx2.MockTransport(lambda _request: next(answers, httpx2.Response(200, json={"access_token": "a", "expires_in": 900})))
    async with Client("http://paper", PASSWORD, transport=transport, pause=pause) as client:
        await define(client)
    assert 3.0 <= waited[0] <= 3.6
    assert 5.0 <= waited[1] <= 6.0
    assert waited[2] < 1.0


async def test_patience_ends_with_what_was_seen_and_what_to_do() -> None:
    system = PaperSystem()
    system.troubles.extend([httpx2.ConnectError("no route")] * 100)
    async with system.client(patience_seconds=0.01) as client:
        with pytest.raises(DemonstrationError, match=r"POST http://paper/api/v2/auth/token has failed .* no route. .*make run"):
            await define(client)


async def test_a_refusal_is_told_and_not_repeated() -> None:
    system = PaperSystem()
    async with system.client() as client:
        await define(client)
        system.troubles.append(409)
        with pytest.raises(RefusedError, match=r"409 trouble\. On paper\.") as caught:
            await define(client)
        assert (caught.value.status, caught.value.code) == (409, "trouble")
        assert client.repeated == 0


async def test_a_refusal_that_is_no_problem_document_is_told_as_well() -> None:
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(418, text="teapot"))
    async with Client("http://paper", PASSWORD, transport=transport) as client:
        with pytest.raises(RefusedError, match="418 unknown"):
            await define(client)


async def test_a_token_is_used_until_it_ends_and_then_taken_anew() -> None:
    system = PaperSystem()
    async with system.client() as client:
        await define(client)
        await define(client)
        assert system.signed_in["admin"] == 1
        system.forget_tokens()
        await define(client)
        assert system.signed_in["admin"] == 2
    system.token_seconds = 0
    async with system.client() as client:
        await define(client)
        await define(client)
        assert system.signed_in["admin"] == 4


async def test_a_wrong_password_is_an_answer() -> None:
    system = PaperSystem()
    transport = httpx2.MockTransport(system.answer)
    async with Client("http://paper", "wrong", transport=transport) as client:
        with pytest.raises(RefusedError, match="POST /api/v2/auth/token was refused: 401"):
            await define(client)


async def test_a_token_that_is_never_good_is_an_answer_too() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        signing_in = request.url.path.endswith("/auth/token")
        return httpx2.Response(200, json={"access_token": "a", "expires_in": 900}) if signing_in else httpx2.Response(401, json={})

    async with Client("http://paper", PASSWORD, transport=httpx2.MockTransport(answer)) as client:
        with pytest.raises(RefusedError, match="401"):
            await define(client)


async def test_pages_are_followed_to_the_end_on_our_own_address() -> None:
    system = PaperSystem(page=2)
    system.products = {f"sku-{number}": {} for number in range(5)}
    async with system.client() as client:
        pages = [page async for page in client.pages("admin", "/products", Listing)]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert system.asked["GET /products"] == 3


async def test_a_list_that_is_not_there_is_a_refusal() -> None:
    async with PaperSystem().client() as client:
        with pytest.raises(RefusedError, match="404"):
            await anext(client.pages("admin", "/nowhere", Listing))


async def test_a_single_thing_that_is_not_there_is_none_and_any_other_refusal_is_raised() -> None:
    system = PaperSystem()
    async with system.client() as client:
        assert await client.outcome("admin", uuid4()) is None
        system.troubles.append(403)
        with pytest.raises(RefusedError, match="403"):
            await client.outcome("admin", uuid4())


async def test_an_answer_in_another_shape_is_told_as_such() -> None:
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json={"token": 1}))
    async with Client("http://paper", PASSWORD, transport=transport) as client:
        with pytest.raises(DemonstrationError, match="unexpected shape"):
            await define(client)


async def test_settling_waits_until_every_event_is_in_every_projection() -> None:
    system = PaperSystem(lag=3)
    ids = [uuid4() for _ in range(100)]
    for event_id in ids:
        system.events[str(event_id)] = b""
    steps: list[int] = []
    async with system.client() as client:
        settled = await client.settle("admin", ids, lambda done, _total: steps.append(done))
    assert set(settled) == set(ids)
    assert all(outcome.settled for outcome in settled.values())
    assert steps == list(range(1, 101))


async def test_settling_ends_when_nothing_moves_and_names_one_event() -> None:
    unknown = UUID("01234567-89ab-7def-8123-456789abcdef")
    async with PaperSystem().client(patience_seconds=0.0) as client:
        with pytest.raises(DemonstrationError, match=rf"1 accepted events, {unknown} among them, .*projector"):
            await client.settle("admin", [unknown])


@pytest.mark.parametrize(
    ("status", "projections", "settled"),
    [
        ("accepted", {}, False),
        ("recorded", {"a": True, "b": False}, False),
        ("recorded", {"a": True, "b": True}, True),
        ("refused", {}, True),
        ("dead_lettered", {"a": False}, True),
    ],
)
def test_an_event_is_settled_when_nothing_more_will_happen_by_itself(status: str, projections: dict[str, bool], *, settled: bool) -> None:
    text = json.dumps({"event_id": str(uuid4()), "status": status, "projections": projections, "new_field": 1})
    assert Outcome.model_validate_json(text).settled is settled
