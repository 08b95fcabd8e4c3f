"""Requests and answers as bytes."""

from itertools import islice
from uuid import UUID

import pytest
from pydantic_core import from_json

from bench import wire
from bench.sales import SPREAD, STORES, sales
from schemas.requests import RecordSale, RecordSales

TOKENS = dict.fromkeys(STORES, "token")


def test_the_id_of_a_sale_is_a_version_7_uuid_that_tells_its_number() -> None:
    ids = [wire.sale_id(1_700_000_000_000, (1 << 38) - 1, number) for number in (0, 1, 2, 3, 4, 99_999)]
    assert {(UUID(each).version, UUID(each).variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert [wire.number_of(each) for each in ids] == [0, 1, 2, 3, 4, 99_999]
    assert ids == sorted(ids)


def test_ids_of_two_runs_differ() -> None:
    assert wire.sale_id(0, 1, 5) != wire.sale_id(0, 2, 5)


def test_a_request_holds_one_sale_that_the_contract_accepts() -> None:
    request = wire.requests(islice(sales(SPREAD, 1, lines=3), 1), host="h:1", tokens=TOKENS, run=1)[0]
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert len(RecordSale.model_validate_json(body).lines) == 3


def test_a_batch_holds_sales_of_the_store_in_its_path() -> None:
    made = list(islice(sales(SPREAD, 1, lines=1, together=10), 20))
    written = wire.requests(made, host="h:1", tokens=TOKENS, run=1, batch=10)
    assert [request.split(b" ", 2)[1].decode() for request in written] == [
        f"/api/v2/stores/{sale.store_id}/sales/batch" for sale in (made[0], made[10])
    ]
    bodies = [RecordSales.model_validate(from_json(request.partition(b"\r\n\r\n")[2])) for request in written]
    assert [len(body.sales) for body in bodies] == [10, 10]


def test_an_answer_that_comes_in_pieces_is_read_when_it_is_whole() -> None:
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    assert [wire.status(answer[:end]) for end in (10, 60, len(answer) - 1)] == [None, None, None]
    assert wire.status(answer) == 202


def test_an_answer_of_unknown_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        wire.status(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
