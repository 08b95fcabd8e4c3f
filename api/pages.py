"""How do the web pages reach the browser, and what may they do there?

They are what `magasin.web_build` made of the sources in ``web/``, allowed to load and to ask this server and nothing else: no page needs
the world outside. What has its content's mark in its name is kept for ever, everything else is asked about each time (304 while it is the
same), and texts travel as the build compressed them. An address of the application is answered with its one page, which finds the view.
The API's documentation is a page too, with Swagger UI served from here.
"""

import mimetypes
from http import HTTPStatus
from importlib.util import find_spec
from os import PathLike, stat_result
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

WEB: Final = Path(__file__).resolve().parent.parent / "web" / "dist"
SECTIONS: Final = frozenset({"connexion", "caisse", "siege", "exploitation", "gestion", "refuse"})
"""The first words of the application's addresses; at any other one its page says that there is nothing, with a 404."""

MARKED: Final = "assets"
FOR_EVER: Final = "public, max-age=31536000, immutable"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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


mimetypes.add_type("application/manifest+json", ".webmanifest")


class Pages(StaticFiles):
    """The files of a folder; `path` is how the metrics call them all."""

    def __init__(self, path: str, directory: Path, *, application: bool = False) -> None:
        """With `application`, a reader of HTML who asks for what is no file gets the one page. A folder that isn't there yet is empty."""
        super().__init__(directory=directory, html=True, check_dir=False)
        self.config_checked = True
        self.path = path
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One file. Raises HTTPException 404 and 405."""
        scope["route"] = self
        await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or the application's page. Raises HTTPException 404 and 405."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            first = path.split("/", 1)[0]
            no_view = not self._application or first in {"api", ".."} or "." in path.rsplit("/", 1)[-1]
            if no_view or error.status_code != HTTPStatus.NOT_FOUND:
                raise
            if "text/html" not in Headers(scope=scope).get("accept", ""):
                raise
            found, about = self.lookup_path("index.html")
            if about is None:
                raise
            return self.file_response(found, about, scope, 200 if first in SECTIONS else 404)

    def file_response(self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200) -> Response:
        """A file, or that the browser has it already; with the headers that hold for both."""
        path = Path(full_path)
        compressed = path.with_name(f"{path.name}.gz")
        if "gzip" in Headers(scope=scope).get("accept-encoding", "") and compressed.is_file():
            response = super().file_response(compressed, compressed.stat(), scope, status_code)
            response.headers["Content-Encoding"] = "gzip"
        else:
            response = super().file_response(path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        response.headers["Vary"] = "Accept-Encoding"
        if path.parent.name == MARKED:
            response.headers["Cache-Control"] = FOR_EVER
        return response


def install(app: FastAPI) -> None:
    """Serve the pages at every path that nothing else answers: the last of all routes."""
    app.mount("/swagger-ui", Pages("/swagger-ui", swagger_ui()))
    app.mount("/", Pages("/", WEB, application=True))


def swagger_ui() -> Path:
    """Where the installed files of Swagger UI lie. The package that brings them is never imported."""
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        message = "fastapi-offline, which brings Swagger UI's files, is not installed"
        raise ModuleNotFoundError(message)
    return Path(found.origin).parent / "static"
