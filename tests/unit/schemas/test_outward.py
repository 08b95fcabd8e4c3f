"""Does an outsider see the event, all of it that is theirs, and nothing else?"""

from datetime import date
from uuid import uuid4

from pydantic_core import from_json

from schemas import outward
from tests.telling import SHOP, logged, sale, told, void

SECRET = "whsec_test"  # noqa: S105 - of no subscriber


def test_the_attributes_are_those_of_cloud_events_in_both_modes() -> None:
    event = logged(told(sale(("apple", 2))), seq=7, business_date=date(2026, 3, 14))
    attributes = outward.attributes(event)
    assert attributes["dataschema"] == "urn:magasin:schema:sale.recorded:1"
    assert (attributes["storeid"], attributes["seq"], attributes["businessdate"]) == (SHOP, 7, "2026-03-14")
    assert outward.headers(event) == {f"ce-{name}": value for name, value in attributes.items()}
    whole = from_json(outward.structured(event))
    assert whole == {**attributes, "datacontenttype": "application/json", "data": event.data}
    assert from_json(outward.data(event)) == event.data
    assert outward.routing_key(event) == f"sale.recorded.v1.{SHOP}"


def test_what_is_not_there_is_left_out_and_what_is_ours_stays_here() -> None:
    plain = outward.attributes(logged(told(sale(("apple", 1)))))
    assert not {"subject", "reason", "traceparent", "actor", "fingerprint", "effect"} & set(plain)
    original = uuid4()
    refused = outward.attributes(logged(told(void(original)), outcome="refused", reason="unknown_sale"))
    assert (refused["subject"], refused["outcome"], refused["reason"]) == (str(original), "refused", "unknown_sale")


def test_names_of_attributes_are_what_cloud_events_allow() -> None:
    event = logged(told(void(uuid4())), reason="x", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in outward.attributes(event))


def test_the_signature_is_what_openssl_makes_of_second_dot_body() -> None:
    """``printf '1795363200.{}' | openssl dgst -sha256 -hmac secret``"""
    made = "964b26f5d1c2bb8e23c8a5cd7802cd1dbace743499a168c7384eb073555a9dd0"  # pragma: allowlist secret
    assert outward.signature("secret", 1_795_363_200, b"{}") == f"t=1795363200,v1={made}"


def test_a_request_says_what_it_is_and_who_may_believe_it() -> None:
    delivery_id = uuid4()
    headers = outward.request_headers(SECRET, 5, b"{}", "sale.recorded", delivery_id)
    assert headers["Magasin-Signature"] == outward.signature(SECRET, 5, b"{}")
    assert (headers["Magasin-Event"], headers["Magasin-Delivery"]) == ("sale.recorded", str(delivery_id))
    assert SECRET not in str(headers)
