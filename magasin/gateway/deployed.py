"""Which files say what is deployed with Docker Compose, and what stands in them?

Kong's, and the instances for Compose: both are committed as they are before anybody deploys, and written again by `magasin deploy`. Kong's
begins with the plan that it was written from, so that it can be compared with what would be written now. And the instances for Prometheus.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.keys import SigningKey
from magasin.gateway import kong
from magasin.gateway.form import KongFile
from magasin.gateway.plan import SHARED, BadPlan, Plan, Target, asked, pool, shared
from magasin.gateway.yaml_text import yaml_text
from magasin.home import write_private

KONG_FILE: Final = Path("compose/kong/kong.yml")
INSTANCES_FILE: Final = Path("compose/kong/instances.yml")
TARGETS_FILE: Final = Path("compose/prometheus/targets/instances.json")
SCHEMA_FILE: Final = Path("compose/kong/schema.json")
BASE_FILE: Final = "docker-compose.yml"
FIRST: Final = f"{SHARED}-1"
"""It is the service `api` of docker-compose.yml, which the others extend."""
PORT: Final = 8_080
"""Where every instance listens inside its container."""
READABLE: Final = 0o644
"""Kong runs as somebody else."""
PLAN: Final = "# plan: "
HEAD: Final = "# Written by `magasin deploy`, which writes it again: docs/deploying.md\n"
DEFAULT: Final = shared("1 rr")


def kong_text(plan: Plan, public_key: str | None) -> str:
    """Kong's file: the plan, then the declaration. `public_key` (PEM) checks the tokens.

    Raises ValidationError where it doesn't fit our form.
    """
    targets = {
        service: [Target(_host(member.name), PORT, member.weight) for member in members] for service, members in plan.members().items()
    }
    declared = kong.declaration(plan, targets, kong.Surroundings(public_key))
    KongFile.model_validate(declared)
    schema = f"# yaml-language-server: $schema={SCHEMA_FILE.name}\n"
    return f"{HEAD}{PLAN}{json.dumps(plan.words())}\n{schema}{yaml_text(declared)}"


def plan_of(text: str) -> Plan:
    """The plan that a file of Kong's was written from. Raises BadPlan."""
    line = next((line for line in text.splitlines() if line.startswith(PLAN)), None)
    if line is None:
        raise BadPlan("the file doesn't say from which plan it was written")
    words: dict[str, str] = json.loads(line.removeprefix(PLAN))
    return asked({name: each for name, each in words.items() if name != "rest"}, pool(words.get("rest", "1 rr")))


def instances_text(names: Iterable[str]) -> str:
    """A service for each instance beside the first of the shared ones: the same container under another name."""
    services = {
        name: {
            "extends": {"file": BASE_FILE, "service": SHARED},
            "profiles": ["gateway"],
            "environment": {"MAGASIN_WORKER_NAME": name},
        }
        for name in sorted(names)
    }
    return HEAD + yaml_text({"services": services})


def targets_text(names: Iterable[str]) -> str:
    """The same instances for Prometheus, which finds all others by itself."""
    return json.dumps([{"targets": [f"{name}:{PORT}"], "labels": {"process": SHARED}} for name in sorted(names)], indent=2) + "\n"


def put_instances(root: Path, names: Iterable[str]) -> None:
    """Name these instances in both files, without the one that docker-compose.yml has itself."""
    others = set(names) - {FIRST}
    put(root / INSTANCES_FILE, instances_text(others))
    put(root / TARGETS_FILE, targets_text(others))


def schema_text() -> str:
    """The form of Kong's file as a JSON Schema, for editors and other programs."""
    return json.dumps(KongFile.model_json_schema(by_alias=True), indent=2, ensure_ascii=False) + "\n"


def public_pem(key: SigningKey) -> str:
    """The half of the key that checks tokens."""
    return key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def put(path: Path, text: str) -> None:
    """Replace a file at once."""
    write_private(path, text, READABLE)


def _host(name: str) -> str:
    """An instance's name in the containers' network."""
    return SHARED if name == FIRST else name
