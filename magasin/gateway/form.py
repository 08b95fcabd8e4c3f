"""What may stand in a file for Kong, as far as we use it?

Kong refuses a file whole for one wrong word, and a missing one may mean that tokens aren't checked. So everything is written out, nothing
else may stand there, and each value has its bounds. `compose/kong/schema.json` is the same as a JSON Schema.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from magasin.gateway.form_plugins import GlobalPlugin, Part, RoutePlugin, SizeLimiting

Milliseconds = Annotated[int, Field(ge=1, le=2_147_483_646)]
Few = Annotated[int, Field(ge=0, le=255)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]*$")]
Path = Annotated[str, Field(pattern=r"^~?/", description="A prefix, or after a tilde a regular expression.")]


class Target(Part):
    """An instance."""

    target: str = Field(pattern=r"^[a-z0-9.-]+:[0-9]{1,5}$")
    weight: int = Field(ge=0, le=65_535)


class ActiveHealthy(Part):
    """When an instance that is asked counts as well."""

    interval: float = Field(gt=0, le=60)
    successes: int = Field(ge=1, le=255)
    http_statuses: list[int]


class ActiveUnhealthy(Part):
    """When an instance that is asked counts as sick."""

    interval: float = Field(gt=0, le=60)
    http_failures: Few
    tcp_failures: Few
    timeouts: Few
    http_statuses: list[int]


class ActiveCheck(Part):
    """How instances are asked."""

    type: Literal["http"]
    http_path: Path
    timeout: float = Field(gt=0, le=60)
    concurrency: int = Field(ge=1, le=100)
    healthy: ActiveHealthy
    unhealthy: ActiveUnhealthy


class PassiveHealthy(Part):
    """How many good answers bring an instance back."""

    successes: Few


class PassiveUnhealthy(Part):
    """How many failed requests take an instance out."""

    http_failures: Few
    tcp_failures: int = Field(ge=1, le=255)
    timeouts: Few


class PassiveCheck(Part):
    """What requests tell of the instances."""

    type: Literal["http"]
    healthy: PassiveHealthy
    unhealthy: PassiveUnhealthy


class HealthChecks(Part):
    """Both kinds."""

    active: ActiveCheck
    passive: PassiveCheck


class Upstream(Part):
    """The instances of a service, and their order."""

    name: Name
    algorithm: Literal["round-robin", "least-connections", "consistent-hashing"]
    slots: int = Field(ge=10, le=65_536)
    hash_on: Literal["header"] | None = None
    # Kong 3.9 never finds a header whose name is written with a hyphen here.
    hash_on_header: str | None = Field(default=None, pattern=r"^[a-z_]+$")
    hash_fallback: Literal["ip"] | None = None
    healthchecks: HealthChecks
    targets: list[Target] = Field(min_length=1)

    @model_validator(mode="after")
    def hashes_by_something(self) -> "Upstream":
        """Consistent hashing says by what; nothing else does."""
        if (self.algorithm == "consistent-hashing") is not (self.hash_on_header is not None):
            raise ValueError("consistent-hashing, and nothing else, has hash_on_header")
        return self


class Route(Part):
    """Some paths of a service. All comes by TLS."""

    name: Name
    paths: list[Path] = Field(min_length=1)
    regex_priority: int = Field(ge=0)
    protocols: list[Literal["https"]] = Field(min_length=1)
    strip_path: Literal[False]
    preserve_host: Literal[True]
    request_buffering: Literal[True]
    response_buffering: Literal[False]
    plugins: list[RoutePlugin] = Field(min_length=1)


class Service(Part):
    """Some paths of the API, and where they lead."""

    name: Name
    host: Name
    port: int = Field(ge=1, le=65_535)
    protocol: Literal["http"]
    connect_timeout: Milliseconds
    read_timeout: Milliseconds
    write_timeout: Milliseconds
    retries: int = Field(ge=0, le=10)
    routes: list[Route] = Field(min_length=1)
    plugins: list[SizeLimiting] = Field(max_length=1)


class JwtSecret(Part):
    """The key that checks tokens; never the one that signs them."""

    key: str
    algorithm: Literal["RS256"]
    rsa_public_key: str = Field(pattern=r"^-----BEGIN PUBLIC KEY-----\n")
    secret: Literal["none"]


class Consumer(Part):
    """Who issues tokens."""

    username: str
    jwt_secrets: list[JwtSecret] = Field(min_length=1)


class KongFile(Part):
    """The whole file."""

    format_version: Literal["3.0"] = Field(alias="_format_version")
    upstreams: list[Upstream]
    services: list[Service]
    consumers: list[Consumer] = Field(max_length=1)
    plugins: list[GlobalPlugin] = Field(min_length=3)

    @model_validator(mode="before")
    @classmethod
    def each_leads_somewhere(cls, found: Any) -> Any:  # noqa: ANN401 - whatever was read
        """Every service but the closed one leads to an upstream of this file, and names occur once."""
        if isinstance(found, dict):
            known = [each.get("name") for each in found.get("upstreams", [])]
            hosts = [each.get("host") for each in found.get("services", []) if each.get("host") != "localhost"]
            if sorted(map(str, known)) != sorted(map(str, hosts)):
                raise ValueError("each service has an upstream of its own, and each upstream its service")
        return found
