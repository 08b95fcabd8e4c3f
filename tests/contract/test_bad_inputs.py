"""Has every bad input its documented answer, in the client's language, without any of it in the answer?"""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from api.command_list import COMMANDS
from tests.e2e.system import Json, Shop, System, sale, sku

MARK = "Zq7xMarker"
LINE = '{"sku": "A-1", "quantity": 1, "unit_price": "2.50"}'


@pytest.fixture(scope="module")
def shop(system: System) -> Shop:
    """One store for all of them: what is refused changes nothing."""
    return system.open_store()


def posted(shop: Shop, content: bytes | str | Iterator[bytes], **headers: str) -> httpx2.Response:
    """A sale with this very body."""
    body = content.encode() if isinstance(content, str) else content
    return shop.http.post(f"{shop.path}/sales", content=body, headers={"Content-Type": "application/json", **headers})


def problem(answer: httpx2.Response) -> Json:
    """The members of a problem, checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: Json = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "code", "trace_id", "errors"}
    assert body["status"] == answer.status_code < 500
    assert len(body["trace_id"]) == 32
    assert all(error.keys() == {"pointer", "code", "detail"} and error["detail"] for error in body["errors"])
    assert MARK not in answer.text
    return body


def faults(answer: httpx2.Response) -> list[tuple[str, str]]:
    """Pointer and code of each fault."""
    return [(error["pointer"], error["code"]) for error in problem(answer)["errors"]]


def line(**members: str) -> str:
    """A sale with one line, some of whose members are written literally."""
    written = {"sku": '"A-1"', "quantity": "1", "unit_price": '"2.50"'} | members
    return '{"lines": [{' + ", ".join(f'"{name}": {value}' for name, value in written.items()) + "}]}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"sku=A&quantity=1",
        b'{"lines": [',
        b'{"lines": [' + LINE.encode() + b"]} x",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"lines": [{"sku": "\xff"}]}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        '{"lines": []}'.encode("utf-16"),
        line(sku=f'"{MARK}\\ud800"').encode(),
        line(sku=f'"\\udc00{MARK}"').encode(),
        line(quantity="01").encode(),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_malformed(shop: Shop, body: bytes) -> None:
    answer = posted(shop, body)
    assert (answer.status_code, problem(answer)["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("null", ("", "not_an_object")),
        ("[]", ("", "not_an_object")),
        ('"x"', ("", "not_an_object")),
        ("{}", ("/lines", "missing")),
        ('{"lines": []}', ("/lines", "too_few")),
        ('{"lines": {}}', ("/lines", "not_a_list")),
        ('{"lines": null}', ("/lines", "not_a_list")),
        ('{"lines": [1]}', ("/lines/0", "not_an_object")),
        ('{"lines": [' + ", ".join([LINE] * 501) + "]}", ("/lines", "too_many")),
        (line(quantity="0"), ("/lines/0/quantity", "too_small")),
        (line(quantity="-1"), ("/lines/0/quantity", "too_small")),
        (line(quantity="true"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="null"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="1.5"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="1.0"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="1e2"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity='"5"'), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity=str(10**30)), ("/lines/0/quantity", "too_large")),
        (line(quantity="1" * 4_000), ("/lines/0/quantity", "too_large")),
        (line(quantity="1000001"), ("/lines/0/quantity", "too_large")),
        (line(quantity="NaN"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="Infinity"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="-Infinity"), ("/lines/0/quantity", "not_an_integer")),
        (line(quantity="1e400"), ("/lines/0/quantity", "not_an_integer")),
        (line(unit_price="NaN"), ("/lines/0/unit_price", "not_finite")),
        (line(unit_price='"NaN"'), ("/lines/0/unit_price", "not_finite")),
        (line(unit_price="Infinity"), ("/lines/0/unit_price", "not_finite")),
        (line(unit_price="1e400"), ("/lines/0/unit_price", "not_finite")),
        (line(unit_price='"1e400"'), ("/lines/0/unit_price", "too_large")),
        (line(unit_price="-0.01"), ("/lines/0/unit_price", "too_small")),
        (line(unit_price='"-1"'), ("/lines/0/unit_price", "too_small")),
        (line(unit_price='"1.999"'), ("/lines/0/unit_price", "too_precise")),
        (line(unit_price="1.005"), ("/lines/0/unit_price", "too_precise")),
        (line(unit_price='"12345678901.00"'), ("/lines/0/unit_price", "too_large")),
        (line(unit_price="true"), ("/lines/0/unit_price", "not_a_decimal")),
        (line(unit_price="[]"), ("/lines/0/unit_price", "not_a_decimal")),
        (line(unit_price=f'"{MARK}"'), ("/lines/0/unit_price", "not_a_decimal")),
        (line(unit_price='"1,50"'), ("/lines/0/unit_price", "not_a_decimal")),
        (line(unit_price='"1_000"'), ("/lines/0/unit_price", "not_a_decimal")),
        (line(unit_price='" 1 "'), ("/lines/0/unit_price", "not_a_decimal")),
        (line(unit_price='"\u0661"'), ("/lines/0/unit_price", "not_a_decimal")),
        (line(sku=f'"{MARK}\'; DROP TABLE event_log; --"'), ("/lines/0/sku", "bad_format")),
        (line(sku=f'"{MARK}\\u0000"'), ("/lines/0/sku", "bad_format")),
        (line(sku=f'"{MARK}\\n"'), ("/lines/0/sku", "bad_format")),
        (line(sku='"é"'), ("/lines/0/sku", "bad_format")),
        (line(sku='""'), ("/lines/0/sku", "bad_format")),
        (line(sku='"' + MARK * 100_000 + '"'), ("/lines/0/sku", "bad_format")),
        (line(sku="7"), ("/lines/0/sku", "not_a_string")),
        (line(**{MARK + "<script>": "1"}), ("/lines/0", "unknown_field")),
        (f'{{"lines": [{LINE}], "discount": 1}}', ("/discount", "unknown_field")),
        (f'{{"lines": [{LINE}], "sale_id": "{MARK}"}}', ("/sale_id", "not_a_uuid")),
        (f'{{"lines": [{LINE}], "sale_id": 17}}', ("/sale_id", "not_a_uuid")),
        (f'{{"lines": [{LINE}], "occurred_at": "{MARK}"}}', ("/occurred_at", "not_a_time")),
        (f'{{"lines": [{LINE}], "occurred_at": 1700000000}}', ("/occurred_at", "not_a_time")),
        (f'{{"lines": [{LINE}], "occurred_at": "2026-02-30T10:00:00Z"}}', ("/occurred_at", "not_a_time")),
        (f'{{"lines": [{LINE}], "occurred_at": "2026-11-20"}}', ("/occurred_at", "not_a_time")),
        (f'{{"lines": [{LINE}], "occurred_at": "2026-11-20T10:00:00"}}', ("/occurred_at", "no_time_zone")),
        (f'{{"lines": [{LINE}], "occurred_at": "0001-01-01T00:00:00+14:00"}}', ("/occurred_at", "too_old")),
        (f'{{"lines": [{LINE}], "occurred_at": "9999-12-31T23:59:59-14:00"}}', ("/occurred_at", "in_the_future")),
        (f'{{"lines": [{LINE}], "till_id": "a b"}}', ("/till_id", "bad_format")),
        (f'{{"lines": [{LINE}], "till_seq": 0}}', ("/till_seq", "too_small")),
        (f'{{"lines": [{LINE}], "if_insufficient": "{MARK}"}}', ("/if_insufficient", "not_allowed_value")),
        (f'{{"lines": [{LINE}], "payment": {{"method": "cheque"}}}}', ("/payment/method", "not_allowed_value")),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else value[1],
)
def test_a_fault_is_pointed_at(shop: Shop, body: str, expected: tuple[str, str]) -> None:
    answer = posted(shop, body)
    assert (answer.status_code, faults(answer)) == (422, [expected])


def test_all_faults_are_told_at_once(shop: Shop) -> None:
    late = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {
        "sale_id": "nonsense",
        "occurred_at": late,
        "lines": [
            {"sku": "A B", "quantity": 0, "unit_price": "1"},
            {"sku": "A", "quantity": 1},
            {"sku": "A", "quantity": 1, "unit_price": -1},
        ],
        "extra": 1,
    }
    answer = shop.post("sales", body, **{"idempotency-key": "x" * 257})
    assert answer.status_code == 422
    assert set(faults(answer)) == {
        ("/header/Idempotency-Key", "too_long"),
        ("/sale_id", "not_a_uuid"),
        ("/occurred_at", "in_the_future"),
        ("/lines/0/sku", "bad_format"),
        ("/lines/0/quantity", "too_small"),
        ("/lines/1/unit_price", "missing"),
        ("/lines/2/unit_price", "too_small"),
        ("/extra", "unknown_field"),
    }
    lines = [{"sku": "A", "quantity": 0, "unit_price": "1"}] * 300
    assert len(faults(shop.post("sales", {"lines": lines}))) == 100, "a bound on everything"


def test_faults_of_the_path_are_told_with_those_of_the_body(shop: Shop) -> None:
    answer = shop.post("sales/nonsense/void", {"reason": ""})
    assert (answer.status_code, set(faults(answer))) == (422, {("/path/sale_id", "not_a_uuid"), ("/reason", "too_short")})
    answer = shop.http.put("/api/v2/products/a b", json={})
    assert ("/path/sku", "bad_format") in faults(answer)
    assert ("/price", "missing") in faults(answer)
    answer = shop.http.put("/api/v2/stores/UPPER", json={"name": "x"})
    assert faults(answer) == [("/path/store_id", "bad_format")]
    answer = shop.http.put("/api/v2/stores/siege", json={"name": "x"})
    assert faults(answer) == [("/path/store_id", "not_allowed_value")]


def test_problems_speak_french_unless_asked_for_english(shop: Shop) -> None:
    for language, title, detail in (
        (None, "Contenu non valide", "Ce champ est requis."),
        ("en-CA, fr;q=0.5", "Invalid content", "This field is required."),
        ("de", "Contenu non valide", "Ce champ est requis."),
    ):
        answer = posted(shop, "{}", **({"accept-language": language} if language else {}))
        found = problem(answer)
        assert (found["title"], found["errors"][0]["detail"]) == (title, detail)
        assert answer.headers["content-language"] == ("en" if title == "Invalid content" else "fr")


@pytest.mark.parametrize(("shift", "code"), [(timedelta(minutes=6), "in_the_future"), (timedelta(days=-91), "too_old")])
def test_instants_have_bounds(shop: Shop, shift: timedelta, code: str) -> None:
    for what, body in (
        ("sales", sale("A", occurred_at=(datetime.now(UTC) + shift).isoformat())),
        ("stock-counts", {"counted_at": (datetime.now(UTC) + shift).isoformat(), "lines": [{"sku": "A", "counted": 1}]}),
    ):
        answer = shop.post(what, body)
        assert (answer.status_code, problem(answer)["code"]) == (422, code)
        assert faults(answer) == [("/counted_at" if what == "stock-counts" else "/occurred_at", code)]
    for fine in (timedelta(minutes=4), timedelta(days=-89)):
        assert shop.post("sales", sale("A", occurred_at=(datetime.now(UTC) + fine).isoformat())).status_code == 202


@pytest.mark.parametrize("spelling", ["{{{}}}", "urn:uuid:{}"])
def test_every_spelling_of_an_id_is_that_id(shop: Shop, spelling: str) -> None:
    article = sku()
    body = sale(article)
    for written in (body["sale_id"], spelling.format(body["sale_id"]), body["sale_id"].upper(), body["sale_id"].replace("-", "")):
        answer = shop.post("sales", body | {"sale_id": written})
        assert (answer.status_code, answer.json()["event_id"]) == (202, body["sale_id"])
    shop.settled(body["sale_id"])
    assert shop.on_hand(article) == -1


def test_bodies_that_are_too_large_are_refused(shop: Shop) -> None:
    large = b'{"lines": "' + b"x" * 20_000_000 + b'"}'
    for path in ("sales", "sales/batch", "deliveries", f"sales/{sale('A')['sale_id']}/void"):
        answer = shop.http.post(f"{shop.path}/{path}", content=large, headers={"Content-Type": "application/json"})
        assert (answer.status_code, problem(answer)["code"]) == (413, "too_large")
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for start in range(0, len(large), 65_536):
            sent += 65_536
            yield large[start : start + 65_536]

    answer = posted(shop, chunks())
    assert (answer.status_code, problem(answer)["code"]) == (413, "too_large")
    for path in ("/api/v2/auth/refresh", "/api/v2/users"):
        answer = shop.http.post(path, content=large, headers={"Content-Type": "application/json"})
        assert (answer.status_code, problem(answer)["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/xml"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": ""},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "br"},
    ],
    ids=str,
)
def test_other_kinds_of_content_are_refused(shop: Shop, headers: dict[str, str]) -> None:
    content = json.dumps(sale("A")).encode()
    answer = posted(shop, gzip.compress(content) if headers.get("Content-Encoding") == "gzip" else content, **headers)
    assert (answer.status_code, problem(answer)["code"]) == (415, "unsupported_media_type")


def test_a_media_type_with_a_charset_is_json_too(shop: Shop) -> None:
    assert posted(shop, json.dumps(sale("A")), **{"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 202


def test_other_methods_and_unknown_addresses_have_their_answers(shop: Shop) -> None:
    answer = shop.http.delete(f"{shop.path}/sales")
    assert (answer.status_code, problem(answer)["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    assert shop.http.get(f"{shop.path}/sales/batch").status_code in {405, 422}
    assert shop.http.post("/api/v2/stock").headers["allow"] == "GET"
    assert shop.http.request("PROPFIND", f"{shop.path}/sales").status_code == 405
    html = {"Accept": "text/html"}
    for method, path in (("GET", "/api/v2/nothing"), ("POST", "/api/v3/sales"), ("PUT", "/api/"), ("DELETE", f"/api/v2/{MARK}")):
        answer = shop.http.request(method, path, headers=html)
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("store_id", ["nope", "NOPE", "%00", "a%0a", "é", "x" * 33, "%ED%A0%80", "a'b"])
def test_an_unknown_store_is_404_whatever_it_is_called(shop: Shop, store_id: str) -> None:
    for answer in (
        shop.http.post(f"/api/v2/stores/{store_id}/sales", json=sale("A")),
        shop.http.post(f"/api/v2/stores/{store_id}/sales/batch", json={"sales": [sale("A")]}),
        shop.http.get(f"/api/v2/stores/{store_id}"),
        shop.http.get(f"/api/v2/stores/{store_id}/sales"),
        shop.http.get(f"/api/v2/stores/{store_id}/stock/A/movements"),
        shop.http.put(f"/api/v2/stores/{store_id}/products/A", json={}) if store_id == "nope" else shop.http.get("/api/v2/stores/nope"),
    ):
        assert (answer.status_code, problem(answer)["code"]) == (404, "unknown_store")


@pytest.mark.parametrize("name", ["nope", "%00", "a b", "x" * 65])
def test_an_unknown_product_is_404_whatever_it_is_called(shop: Shop, name: str) -> None:
    answer = shop.http.get(f"/api/v2/products/{name}")
    assert (answer.status_code, problem(answer)["code"]) == (404, "unknown_product")


@pytest.mark.parametrize("event_id", ["nonsense", "%00", "1"])
def test_an_event_has_a_uuid(shop: Shop, event_id: str) -> None:
    assert faults(shop.http.get(f"/api/v2/events/{event_id}")) == [("/path/event_id", "not_a_uuid")]
    answer = shop.http.get("/api/v2/events/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, problem(answer)["code"]) == (404, "unknown_event")


READS = ("stores", "products", "stock", "cases", "stores/{store}/sales", "stores/{store}/stock/A/movements", "reports/daily-sales")
CURSORS = (
    "x",
    "é",
    "%00",
    "bnVsbA",  # null
    "W10",  # []
    "WyJhIiwgImIiLCAiYyIsICJkIiwgImUiXQ",  # five texts
    "WyJcdTAwMDAiXQ",  # ["\u0000"]
    "WyJcdWQ4MDAiXQ",  # a lone surrogate
    "WyJcdWQ4MDAiLCAiXHVkODAwIl0",  # two
    "WzFlOTk5XQ",  # [1e999]
    "Wy0xXQ",  # [-1]
    "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDBd",  # a long number
    "WyJhIiwgMTAwMDAwMDAwMDAwMDAwMDAwMDAwMF0",  # ["a", a long number]
    "WyJ4IiwgIngiXQ",  # ["x", "x"]
    "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgIngiLCAxXQ",  # an instant before all years
)


@pytest.mark.parametrize("read", READS)
def test_cursors_and_limits_are_checked(shop: Shop, read: str) -> None:
    path = f"/api/v2/{read.format(store=shop.store_id)}"
    for cursor in CURSORS:
        answer = shop.http.get(f"{path}?after={cursor}")
        assert answer.status_code in {200, 400}, (cursor, answer.text)
        if answer.status_code == 400:
            assert problem(answer)["code"] == "bad_cursor"
    most = 10_000 if read.startswith("reports") else 500
    for limit in ("0", "-1", str(most + 1), "x", "1e2", str(10**30), ""):
        assert [pointer for pointer, _ in faults(shop.http.get(f"{path}?limit={limit}"))] == ["/query/limit"]
    assert shop.http.get(f"{path}?limit={most}").status_code == 200
    assert faults(shop.http.get(f"{path}?format=pdf")) == [("/query/format", "not_allowed_value")]
    assert faults(shop.http.get(f"{path}?after={'x' * 600}")) == [("/query/after", "too_long")]


@pytest.mark.parametrize(
    "query",
    [
        "products?search=%00",
        "products?category=%00",
        "products?barcode=%00",
        "stock?sku=%00",
        "stock?store=%00",
        "stock?store=A!",
        "stock?search=%00",
        "stock?status=x",
        "cases?kind=%00",
        "cases?status=x",
        "stores/{store}/sales?till=%00",
        "stores/{store}/sales?from=x",
        "stores/{store}/sales?status=x",
        "reports/daily-sales?from=x",
        "reports/daily-sales?to=2026-02-30",
        "reports/daily-sales?sku=%00",
        "reports/daily-sales?category=%00",
        "reports/daily-sales?group_by=%00",
        "reports/daily-sales?group_by=hour",
        "reports/hourly-sales?sku=A",
        "reports/hourly-sales?category=A",
        "reports/store-performance?sku=A",
    ],
)
def test_filters_are_checked(shop: Shop, query: str) -> None:
    answer = shop.http.get(f"/api/v2/{query.format(store=shop.store_id)}")
    assert answer.status_code == 422
    name = query.partition("?")[2].partition("=")[0]
    # One of several values is told by its place.
    assert [pointer.removesuffix("/0") for pointer, _ in faults(answer)] == [f"/query/{name}"]


def test_days_have_an_order(shop: Shop) -> None:
    for read in (f"stores/{shop.store_id}/sales", "reports/daily-sales"):
        answer = shop.http.get(f"/api/v2/{read}?from=2026-11-02&to=2026-11-01")
        assert (answer.status_code, faults(answer)) == (422, [("/query/to", "wrong_order")])


@pytest.mark.parametrize(
    ("what", "body", "expected"),
    [
        ("stock-changes", {"reason": "other", "lines": [{"sku": "A", "delta": 0}]}, ("/lines/0/delta", "zero")),
        ("stock-changes", {"reason": "x", "lines": [{"sku": "A", "delta": 1}]}, ("/reason", "not_allowed_value")),
        ("stock-changes", {"reason": "other", "note": "\x00", "lines": [{"sku": "A", "delta": 1}]}, ("/note", "bad_format")),
        ("stock-counts", {"lines": [{"sku": "A", "counted": -1}]}, ("/lines/0/counted", "too_small")),
        ("deliveries", {"lines": [{"sku": "A", "quantity": 1}]}, ("/supplier", "missing")),
        ("deliveries", {"supplier": "   ", "lines": [{"sku": "A", "quantity": 1}]}, ("/supplier", "too_short")),
        ("deliveries", {"supplier": "a\x00b", "lines": [{"sku": "A", "quantity": 1}]}, ("/supplier", "bad_format")),
        ("sales/batch", {"sales": []}, ("/sales", "too_few")),
        ("sales/batch", {"sales": [0] * 501}, ("/sales", "too_many")),
        ("sales/batch", {}, ("/sales", "missing")),
    ],
)
def test_other_commands_are_checked_alike(shop: Shop, what: str, body: Json, expected: tuple[str, str]) -> None:
    answer = shop.post(what, body)
    assert (answer.status_code, faults(answer)) == (422, [expected])


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("timezone", "Mars/Olympus", "bad_time_zone"),
        ("timezone", "../../etc/passwd", "bad_time_zone"),
        ("currency", "dollars", "bad_format"),
        ("kind", "kiosk", "not_allowed_value"),
        ("oversell", True, "not_allowed_value"),
        ("name", "", "too_short"),
        ("centre", "A B", "bad_format"),
    ],
)
def test_a_store_is_described_properly(shop: Shop, member: str, value: object, code: str) -> None:
    body = {"name": "x", "kind": "store", "timezone": "America/Toronto", "currency": "CAD", "oversell": "allow", member: value}
    answer = shop.http.put("/api/v2/stores/t-bad", json=body)
    assert (answer.status_code, faults(answer)) == (422, [(f"/{member}", code)])


def test_a_batch_tells_the_faults_of_each_and_of_nothing_else(shop: Shop) -> None:
    odd: list[Any] = [None, 7, [], "x", {}, {"lines": [{"sku": MARK, "quantity": 10**40, "unit_price": "1"}]}, {"sale_id": MARK}]
    answer = shop.post("sales/batch", {"sales": odd})
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert {result["status"] for result in results} == {"invalid"}
    assert all(error["pointer"].startswith(f"/sales/{result['index']}") for result in results for error in result["errors"])
    assert MARK not in answer.text
    first, second = line(unit_price="NaN"), line(quantity="1e400")
    raw = f'{{"sales": [{first}, {second}]}}'
    answer = shop.http.post(f"{shop.path}/sales/batch", content=raw.encode(), headers={"Content-Type": "application/json"})
    assert [result["status"] for result in answer.json()["results"]] == ["invalid", "invalid"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(
    {name for command in COMMANDS for name in command.body.model_fields} | {"sku", "quantity", "unit_price", "delta", "counted"}
)
LIKELY = st.dictionaries(
    st.sampled_from(FIELDS), ANYTHING | st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=5), max_size=3)
)


@given(body=ANYTHING | LIKELY, place=st.integers(0, len(COMMANDS)))
@settings(
    max_examples=150,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_no_json_at_all_breaks_a_command(system: System, shop: Shop, body: object, place: int) -> None:
    path, method = (
        ("/api/v2/stores/{store_id}/sales/batch", "POST") if place == len(COMMANDS) else (COMMANDS[place].path, COMMANDS[place].method)
    )
    some_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    filled = path.format(store_id=shop.store_id, sku="A-1", sale_id=some_id, case_id=some_id, till_id="1")
    content = json.dumps(body).encode()
    answer = shop.http.request(method, filled, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, (system.processes["api"].log, answer.text)
    if answer.status_code >= 400:
        problem(answer)


def test_nothing_of_all_that_was_dead_lettered(system: System, shop: Shop) -> None:
    shop.settled(shop.sell(sku())["event_id"])
    with system.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM dead_letter")).scalar_one() == 0
