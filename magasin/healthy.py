"""Is the process in this container fit for its work? ``python -m magasin.healthy`` ends with 0 if it is; the image's health check asks it.

It asks ``/readyz`` where the process listens: a worker at MAGASIN_PROBE_PORT, the API at MAGASIN_PORT. Settings aren't read with
`infra.settings`, because this starts every few seconds and that takes a second of a slow processor.
"""

import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

LOOPBACK = "127.0.0.1"
API_PORT = 8080
SECONDS = 7


def port_of(environ: Mapping[str, str]) -> int:
    """Where this container's process answers: a worker's probe, if it has one, else the API."""
    return int(environ.get("MAGASIN_PROBE_PORT") or 0) or int(environ.get("MAGASIN_PORT") or API_PORT)


def is_healthy(port: int, seconds: float = SECONDS) -> bool:
    """Whether the process at that port of this machine says that it is ready."""
    connection = HTTPConnection(LOOPBACK, port, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_healthy(port_of(os.environ)) else 1)
