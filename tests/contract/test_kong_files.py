"""Are Kong's files those of their plan, does every plan give a file that fits, and does the form refuse what Kong would?"""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # tests only read with it
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from pydantic import ValidationError

from api.keys import KEY_BITS, SigningKey
from magasin.gateway import check, deployed
from magasin.gateway.form import KongFile
from magasin.gateway.plan import Plan, asked, pool, shared
from magasin.house import ROOT

PLANS = {
    "shared": shared("5 lc"),
    "asked": asked({"auth": "2 rr", "products": "3 lc", "sales": "5 hash", "reports": "2 weighted"}, pool("1 rr")),
    "weights": asked({"sales": "3 weighted:50,30,20", "live": "2 hash"}, pool("64 hash")),
    "replacing": shared("3 rr").without("api-2", None),
}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def public_key() -> str:
    return deployed.public_pem(SigningKey(generate_private_key(public_exponent=65_537, key_size=KEY_BITS)))


def test_the_committed_files_are_those_of_their_plan() -> None:
    assert list(check.faults(ROOT)) == []


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_gives_a_file_that_fits(name: str, public_key: str, tmp_path: Path) -> None:
    text = deployed.kong_text(PLANS[name], public_key)
    KongFile.model_validate(yaml.safe_load(text))
    assert check.key_in(text) == public_key
    file = tmp_path / "kong.yml"
    file.write_text(text, encoding="utf-8")
    assert list(check.refused(file)) == []


def test_a_named_checker_is_asked_and_what_it_says_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checker = tmp_path / "checker"
    checker.write_text('#!/bin/sh\n[ -d "$2" ] && echo "line 1 of $1" && exit 1\n')
    checker.chmod(0o755)
    monkeypatch.setenv(check.VALIDATOR, os.fspath(checker))
    (said,) = check.refused(tmp_path / "kong.yml")
    assert f"line 1 of {tmp_path / 'kong.yml'}" in said


def test_a_file_of_another_plan_or_another_day_is_a_fault(tmp_path: Path) -> None:
    check.write(tmp_path)
    assert list(check.faults(tmp_path)) == []
    file = tmp_path / deployed.KONG_FILE
    file.write_text(file.read_text().replace("minute: 300", "minute: 3000"))
    deployed.put(tmp_path / deployed.INSTANCES_FILE, deployed.instances_text(["sales-1"]))
    (tmp_path / deployed.SCHEMA_FILE).write_text("{}")
    assert len(list(check.faults(tmp_path))) == 3


def without_a_check_of_tokens(document: Document) -> None:
    route = document["services"][0]["routes"][0]
    route["plugins"] = [each for each in route["plugins"] if each["name"] != "jwt"] + [{"name": "jvt", "config": {}}]


def with_a_token_in_the_address(document: Document) -> None:
    document["services"][0]["routes"][0]["plugins"][0]["config"]["uri_param_names"] = ["jwt"]


def with_a_private_key(document: Document) -> None:
    # Not the whole of a key, so that nobody takes it for one.
    document["consumers"][0]["jwt_secrets"][0]["rsa_public_key"] = "-----BEGIN " + "PRIVATE KEY-----\n"


def with_a_header_that_kong_never_finds(document: Document) -> None:
    upstream = document["upstreams"][2]
    upstream |= {"algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x-client-id"}


def without_tls(document: Document) -> None:
    document["services"][0]["routes"][0]["protocols"] = ["http"]


def with_an_unknown_order(document: Document) -> None:
    document["upstreams"][0]["algorithm"] = "weighted"


def with_a_word_too_many(document: Document) -> None:
    document["services"][0]["retry"] = 3


def without_an_upstream(document: Document) -> None:
    del document["upstreams"][0]


@pytest.mark.parametrize(
    "spoil",
    [
        without_a_check_of_tokens,
        with_a_token_in_the_address,
        with_a_private_key,
        with_a_header_that_kong_never_finds,
        without_tls,
        with_an_unknown_order,
        with_a_word_too_many,
        without_an_upstream,
    ],
)
def test_the_form_refuses(spoil: Callable[[Document], None], public_key: str) -> None:
    document = copy.deepcopy(yaml.safe_load(deployed.kong_text(shared("2 rr"), public_key)))
    KongFile.model_validate(document)
    spoil(document)
    with pytest.raises(ValidationError):
        KongFile.model_validate(document)


def test_streams_are_never_cut_by_the_gateway_and_only_they(public_key: str) -> None:
    plan: Plan = PLANS["asked"]
    services = yaml.safe_load(deployed.kong_text(plan, public_key))["services"]
    assert {each["name"] for each in services if each["read_timeout"] > 86_400_000} == {"live"}
