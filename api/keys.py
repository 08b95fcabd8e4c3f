"""With which key does this installation sign its tokens?

One RSA key: from the settings (text or file), else made once and kept in ``<home>/keys/jwt.pem``, readable by its owner only. Its name
(`kid`) is its RFC 7638 thumbprint, so every process that has the key gives it the same name.
"""

import base64
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from infra.settings import Settings

KEY_BITS: Final = 2_048


class UnusableKeyError(ValueError):
    """What the settings name as the signing key isn't one."""


@dataclass(frozen=True)
class SigningKey:
    """The private key with everything that follows from it."""

    private: RSAPrivateKey

    @cached_property
    def public(self) -> RSAPublicKey:
        """The half that checks."""
        return self.private.public_key()

    @cached_property
    def kid(self) -> str:
        """The thumbprint of RFC 7638: SHA-256 of the key's required members, in lexical order and without white space."""
        numbers = self.public.public_numbers()
        members = json.dumps({"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}, separators=(",", ":"))
        return _base64url(hashlib.sha256(members.encode()).digest())

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as RFC 7517 has it."""
        numbers = self.public.public_numbers()
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": _number(numbers.n), "e": _number(numbers.e)}


def key_of(settings: Settings) -> SigningKey:
    """The installation's key, made now if there is none. Raises `UnusableKeyError`, or OSError when the file can't be read or made."""
    if settings.jwt_private_key:
        return parse(settings.jwt_private_key.replace("\\n", "\n").encode())
    if settings.jwt_private_key_path:
        return parse(settings.jwt_private_key_path.read_bytes())
    path = settings.home / "keys" / "jwt.pem"
    if not path.exists():
        make_once(path)
    return parse(path.read_bytes())


def parse(pem: bytes) -> SigningKey:
    """The key in a PEM text; refuses what is no RSA key of at least 2,048 bits."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        message = "MAGASIN_JWT_PRIVATE_KEY is no unencrypted private key in PEM form"
        raise UnusableKeyError(message) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_BITS:
        message = f"MAGASIN_JWT_PRIVATE_KEY must be an RSA key of at least {KEY_BITS} bits"
        raise UnusableKeyError(message)
    return SigningKey(key)


def make_once(path: Path) -> None:
    """Make the file with a new key, unless another process does so first: linking a finished file is atomic, and the first one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = generate_private_key(public_exponent=65_537, key_size=KEY_BITS).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _number(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
