"""Which document is the web pages' API client generated from?

The one that the API makes of itself, without any server: `python -m magasin.web_document` prints it, in an order that does not change; with
`events` it prints the document of the events.
"""

import json
import sys
import tempfile
from pathlib import Path

from api.app import VERSION, create_app
from api.document import asyncapi
from infra.settings import Settings

NOWHERE = "127.0.0.1:1"


def document() -> str:
    """The OpenAPI document as JSON text."""
    with tempfile.TemporaryDirectory() as home:
        config = Settings(
            env="test",
            home=Path(home),
            database_url=f"postgresql://magasin@{NOWHERE}/magasin",
            amqp_url=f"amqp://{NOWHERE}/",
            redis_url=f"redis://{NOWHERE}/0",
            log_level="ERROR",
        )
        return json.dumps(create_app(config).openapi(), indent=1, sort_keys=True, ensure_ascii=False)


def events() -> str:
    """The AsyncAPI document as JSON text."""
    return json.dumps(asyncapi(VERSION), indent=1, sort_keys=True, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write((events() if sys.argv[1:] == ["events"] else document()) + "\n")
