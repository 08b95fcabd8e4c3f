"""What does a process need to be told, and what does it assume when nobody tells it?

Every field comes from the environment with the prefix ``MAGASIN_``. A secret may also come from a file: ``MAGASIN_X_FILE``
names a file whose content is used as ``MAGASIN_X``.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "MAGASIN_"


class Settings(BaseSettings):
    """Frozen for the life of the process. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    env: Literal["production", "demo", "test"] = "production"
    port: int = Field(default=8080, ge=1, le=65_535)
    host: str = "127.0.0.1"
    home: Path = Path(".magasin")

    database_url: str = "postgresql+psycopg://magasin@127.0.0.1:5432/magasin"
    # With whose rights the API carries out what operators order about builds of projections; its own where nobody says.
    operator_database_url: str | None = None
    # The folder of what each role signs in with: `magasin migrate` then makes the roles.
    role_passwords: Path | None = None
    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    redis_url: str = "redis://127.0.0.1:6379/0"
    rabbitmq_management_url: str | None = None

    demo_password: str = "magasin-demo"  # noqa: S105 - the published password of the demonstration, only used when env=demo
    # The first administrator's, where no demonstration makes one; not looked at any more once there is an administrator.
    admin_password: str | None = Field(default=None, min_length=8, max_length=128)
    jwt_private_key: str | None = None
    jwt_private_key_path: Path | None = None

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    worker_name: str | None = None
    traces_url: str | None = None
    probe_port: int = Field(default=0, ge=0, le=65_535)

    database_pool_size: int = Field(default=8, ge=1, le=64)
    database_connect_timeout_seconds: int = Field(default=3, ge=1, le=60)
    database_statement_timeout_seconds: int = Field(default=30, ge=1, le=600)

    publish_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    publish_in_flight: int = Field(default=2, ge=1, le=16)
    publish_group_events: int = Field(default=500, ge=1, le=5_000)
    publish_group_bytes: int = Field(default=262_144, ge=1_024, le=8_388_608)
    publish_backlog_events: int = Field(default=20_000, ge=1, le=1_000_000)

    prefetch_count: int = Field(default=100, ge=1, le=5_000)
    batch_events: int = Field(default=500, ge=1, le=5_000)
    attempts_before_dead_letter: int = Field(default=3, ge=1, le=100)

    body_limit_bytes: int = Field(default=1_048_576, ge=1_024, le=16_777_216)
    batch_limit_bytes: int = Field(default=8_388_608, ge=1_024, le=67_108_864)
    import_limit_bytes: int = Field(default=16_777_216, ge=1_024, le=67_108_864)
    future_tolerance_seconds: int = Field(default=300, ge=0, le=86_400)
    backdate_days: int = Field(default=90, ge=0, le=3_650)
    count_variance_units: int = Field(default=3, ge=1, le=1_000_000)
    count_variance_percent: int = Field(default=5, ge=0, le=100)
    till_silence_seconds: int = Field(default=7_200, ge=60, le=2_592_000)
    redis_timeout_seconds: float = Field(default=0.1, gt=0, le=10)
    fingerprint_ttl_seconds: int = Field(default=86_400, ge=1)
    cache_ttl_seconds: int = Field(default=600, ge=1)

    four_eyes: bool = False

    access_token_seconds: int = Field(default=900, ge=1, le=900)
    refresh_token_seconds: int = Field(default=1_209_600, ge=60)

    verify_share_percent: float = Field(default=2.0, ge=0, le=100)
    verify_interval_seconds: int = Field(default=60, ge=1, le=86_400)

    webhook_private_targets: bool = False
    webhook_timeout_seconds: float = Field(default=5.0, gt=0, le=30)
    webhook_in_flight: int = Field(default=4, ge=1, le=64)
    webhook_retry_first_seconds: float = Field(default=1.0, gt=0, le=3_600)
    webhook_retry_most_seconds: float = Field(default=600.0, gt=0, le=86_400)
    webhook_give_up_seconds: int = Field(default=86_400, ge=1, le=2_592_000)
    webhook_log_days: int = Field(default=30, ge=1, le=3_650)


def with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with each ``MAGASIN_X_FILE`` read into ``MAGASIN_X``. Raises OSError when a named file can't be read."""
    read = dict(environ)
    for name, path in environ.items():
        if name.startswith(PREFIX) and name.endswith("_FILE"):
            read[name.removesuffix("_FILE")] = Path(path).read_text(encoding="utf-8").strip()
    return read


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    os.environ.update(with_files(os.environ))
    return Settings()
