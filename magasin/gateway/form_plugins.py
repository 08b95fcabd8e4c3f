"""Which of Kong's plugins do we use, and what may be said to them?"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """Nothing but what is named."""

    model_config = ConfigDict(extra="forbid", strict=True)


class JwtConfig(Part):
    """How tokens are checked."""

    key_claim_name: Literal["iss"]
    claims_to_verify: list[Literal["exp", "nbf"]] = Field(min_length=2)
    maximum_expiration: int = Field(ge=1, le=86_400)
    header_names: list[Literal["authorization"]] = Field(min_length=1)
    # Never from an address or a cookie.
    uri_param_names: list[str] = Field(max_length=0)
    cookie_names: list[str] = Field(max_length=0)
    run_on_preflight: Literal[False]


class RateConfig(Part):
    """How much one person may ask."""

    limit_by: Literal["header", "ip"]
    header_name: Literal["Authorization"] | None = None
    minute: int = Field(ge=1)
    policy: Literal["local"]
    fault_tolerant: bool
    hide_client_headers: bool
    error_message: str = Field(min_length=1)

    @model_validator(mode="after")
    def counts_by_something(self) -> "RateConfig":
        """Whoever counts by a header names it."""
        if (self.limit_by == "header") is not (self.header_name is not None):
            raise ValueError("limit_by header, and nothing else, has header_name")
        return self


class SizeConfig(Part):
    """How large a request may be."""

    allowed_payload_size: int = Field(ge=1)
    size_unit: Literal["kilobytes"]
    require_content_length: bool


class CorsConfig(Part):
    """Which pages may ask."""

    origins: list[str] = Field(min_length=1)
    methods: list[Literal["GET", "POST", "PUT", "PATCH", "DELETE"]]
    headers: list[str]
    exposed_headers: list[str]
    max_age: int = Field(ge=0)
    credentials: Literal[False]


class CorrelationConfig(Part):
    """How a request is told from others."""

    header_name: Literal["X-Request-ID"]
    generator: Literal["uuid"]
    echo_downstream: Literal[True]


class PrometheusConfig(Part):
    """What is measured; never by consumer."""

    status_code_metrics: bool
    latency_metrics: bool
    bandwidth_metrics: bool
    upstream_health_metrics: bool
    per_consumer: Literal[False]


class TerminationConfig(Part):
    """What is answered at once."""

    status_code: int = Field(ge=100, le=599)
    content_type: str
    body: str


class Jwt(Part):
    """A token is needed."""

    name: Literal["jwt"]
    config: JwtConfig


class RateLimiting(Part):
    """Nobody asks too much."""

    name: Literal["rate-limiting"]
    config: RateConfig


class SizeLimiting(Part):
    """Nobody sends too much."""

    name: Literal["request-size-limiting"]
    config: SizeConfig


class Termination(Part):
    """Nobody gets in."""

    name: Literal["request-termination"]
    config: TerminationConfig


class Cors(Part):
    """Pages of other origins."""

    name: Literal["cors"]
    config: CorsConfig


class CorrelationId(Part):
    """Every request has an id."""

    name: Literal["correlation-id"]
    config: CorrelationConfig


class Prometheus(Part):
    """Figures for Prometheus."""

    name: Literal["prometheus"]
    config: PrometheusConfig


RoutePlugin = Annotated[Jwt | RateLimiting | Termination, Field(discriminator="name")]
GlobalPlugin = Annotated[Cors | CorrelationId | Prometheus, Field(discriminator="name")]
