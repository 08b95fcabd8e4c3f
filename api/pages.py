"""How do the web pages reach the browser, and what may they do there?

They are files that the browser asks about each time (304 while they are the same), allowed to load and to ask this server and nothing
else: no page needs the world outside. The API's documentation is one of them, with Swagger UI served from here.
"""

from importlib.util import find_spec
from os import PathLike, stat_result
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

WEB: Final = Path(__file__).resolve().parent.parent / "web"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Pages(StaticFiles):
    """The files of a folder; `path` is how the metrics call them all."""

    def __init__(self, path: str, directory: Path) -> None:
        super().__init__(directory=directory, html=True)
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One file. Raises HTTPException 404 and 405."""
        scope["route"] = self
        await super().__call__(scope, receive, send)

    def file_response(self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200) -> Response:
        """A file, or that the browser has it already; with the headers that hold for both."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Serve the pages at every path that nothing else answers: the last of all routes."""
    app.mount("/swagger-ui", Pages("/swagger-ui", swagger_ui()))
    app.mount("/", Pages("/", WEB))


def swagger_ui() -> Path:
    """Where the installed files of Swagger UI lie. The package that brings them is never imported."""
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        message = "fastapi-offline, which brings Swagger UI's files, is not installed"
        raise ModuleNotFoundError(message)
    return Path(found.origin).parent / "static"
