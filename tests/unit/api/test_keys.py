"""Is there one signing key for an installation, whoever makes it first?"""

import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.keys import UnusableKeyError, key_of, make_once
from infra.settings import Settings


def kid_in(home: Path) -> str:
    return key_of(Settings(env="test", home=home)).kid


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with ProcessPoolExecutor(max_workers=4) as pool:
        kids = set(pool.map(kid_in, [tmp_path] * 4))
    assert len(kids) == 1
    path = tmp_path / "keys" / "jwt.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_whoever_comes_second_changes_nothing(tmp_path: Path) -> None:
    kid = kid_in(tmp_path)
    make_once(tmp_path / "keys" / "jwt.pem")
    assert kid_in(tmp_path) == kid
    assert len(list((tmp_path / "keys").iterdir())) == 1


def test_the_settings_key_wins_as_text_and_as_file(tmp_path: Path) -> None:
    kid = kid_in(tmp_path)
    path = tmp_path / "keys" / "jwt.pem"
    text = path.read_text()
    assert key_of(Settings(env="test", home=tmp_path / "other", jwt_private_key=text)).kid == kid
    assert key_of(Settings(env="test", home=tmp_path / "other", jwt_private_key=text.replace("\n", "\\n"))).kid == kid
    assert key_of(Settings(env="test", home=tmp_path / "other", jwt_private_key_path=path)).kid == kid
    assert not (tmp_path / "other").exists()


def test_what_is_no_strong_rsa_key_is_refused(tmp_path: Path) -> None:
    small = generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - weak on purpose: it must be refused
    for key in (small, ec.generate_private_key(ec.SECP256R1())):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        with pytest.raises(UnusableKeyError, match="RSA"):
            key_of(Settings(env="test", home=tmp_path, jwt_private_key=pem))
    with pytest.raises(UnusableKeyError, match="PEM"):
        key_of(Settings(env="test", home=tmp_path, jwt_private_key="no key"))
