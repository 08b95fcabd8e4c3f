"""Are the secrets of an installation made once, guessed by nobody, and do they fit together?"""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtensionOID

from api.keys import key_of
from infra.settings import Settings, with_files
from magasin.certificate import VALID_DAYS, self_signed
from magasin.strongbox import BROKER_USERS, DATABASE_ROLES, PROCESSES, Made, fill


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("box") / "secrets"
    fill(folder)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_only_its_owner_enters_the_folder_and_whoever_gets_a_file_can_read_it(box: Path) -> None:
    assert box.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in box.iterdir()} == {0o444}


def test_no_two_passwords_are_the_same_and_none_is_short(box: Path) -> None:
    passwords = [text for name, text in content(box).items() if "password" in name]
    assert len(passwords) == len(DATABASE_ROLES) + len(BROKER_USERS) + 4
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 32


def test_a_second_time_keeps_what_is_there_and_adds_what_is_missing(tmp_path: Path) -> None:
    first = fill(tmp_path)
    assert {"postgres_password", "jwt_private_key"} <= set(first.names)
    assert first.certificate
    before = content(tmp_path)
    (tmp_path / "grafana_password").unlink()
    assert fill(tmp_path) == Made(("grafana_password",), certificate=False)
    after = content(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    # The broker's hashes have fresh salt each time.
    assert changed == {"grafana_password", "rabbitmq_definitions"}


def test_a_certificate_is_renewed_when_asked_and_nothing_else_is(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    assert fill(tmp_path, ["shop.example"], renew_certificate=True) == Made((), certificate=True)
    after = content(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"gateway_certificate", "gateway_key", "rabbitmq_definitions"}


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_signs_in_as_itself(box: Path, name: str) -> None:
    file = name.replace("-", "_")
    named = {"MAGASIN_DATABASE_URL_FILE": str(box / f"database_url_{file}"), "MAGASIN_AMQP_URL_FILE": str(box / f"amqp_url_{file}")}
    read = with_files(named)
    database, broker = urlsplit(read["MAGASIN_DATABASE_URL"]), urlsplit(read["MAGASIN_AMQP_URL"])
    secrets = content(box)
    assert (database.username, database.password) == (f"magasin_{file}", secrets[f"database_password_{name}"])
    assert (broker.username, broker.password) == (name, secrets[f"amqp_password_{name}"])


def test_the_broker_knows_the_passwords_of_its_users_by_their_hash(box: Path) -> None:
    secrets = content(box)
    users = {user["name"]: user for user in json.loads(secrets["rabbitmq_definitions"])["users"]}
    for name in BROKER_USERS:
        salted = base64.b64decode(users[name]["password_hash"])
        password = secrets[f"amqp_password_{name}"].encode()
        assert salted[4:] == hashlib.sha256(salted[:4] + password).digest()


def test_the_signing_key_is_one_that_the_api_takes(box: Path) -> None:
    assert key_of(Settings(jwt_private_key=(box / "jwt_private_key").read_text(encoding="utf-8"))).kid


def test_the_certificate_is_for_this_machine_and_for_the_names_it_was_made_for() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    pair = self_signed(["shop.example", "192.0.2.7"], now)
    made = x509.load_pem_x509_certificate(pair.certificate.encode())
    names = made.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["shop.example", "localhost", "kong"]
    assert set(names.get_values_for_type(x509.IPAddress)) == {ip_address(each) for each in ("192.0.2.7", "127.0.0.1", "::1")}
    assert made.not_valid_before_utc < now
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=VALID_DAYS)
    made.verify_directly_issued_by(made)
    key = load_pem_private_key(pair.key.encode(), password=None)
    assert key.public_key() == made.public_key()
