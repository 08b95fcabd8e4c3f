"""What does a client get when something went wrong?

Always ``application/problem+json`` (RFC 9457) with a code that never changes, in the client's language, and never its own input.
Raise `Problem` anywhere in the API; `install` turns it, and everything else that may be raised, into such an answer.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from api.faults import MOST_FAULTS, Fault, errors_of, faults_of, faults_of_request
from api.locale import language_of
from api.problem_docs import document_problems, problem_responses
from api.texts import PROBLEMS, Language
from operations.deed import Refused

__all__ = ["Fault", "Problem", "answer", "errors_of", "faults_of", "install", "on_anything", "problem_of", "problem_responses"]

MEDIA_TYPE: Final = "application/problem+json"
LONGEST_INSTANCE: Final = 512
RETRY_SECONDS: Final = 2
log = structlog.get_logger(__name__)

# What Starlette and FastAPI raise by themselves has a status only.
CODE_OF_STATUS: Final[dict[int, str]] = {
    400: "malformed_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    409: "refused",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_content",
    429: "too_many_requests",
    503: "overloaded",
}


class Problem(Exception):
    """A refusal or failure to be answered.

    `code` is a key of `api.texts.PROBLEMS`, which has its status and texts; `errors` are faults with pointers (`Fault`, or mappings with
    ``pointer`` and ``code``); `headers` go with the answer; `members` are further members of the body (RFC 9457 §3.2), such as what is
    available per SKU; `params` fill the places in the texts.
    A code without an entry is answered with the texts of ``refused``: a rule may name a new reason before it has a sentence.
    """

    def __init__(
        self,
        code: str,
        *,
        status: int | None = None,
        errors: Sequence[Fault | Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
        **params: object,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.entry = PROBLEMS.get(code, PROBLEMS["refused"])
        self.status = status or self.entry.status
        self.errors = [_fault(error) for error in errors[:MOST_FAULTS]]
        self.headers = dict(headers or {})
        self.members = dict(members or {})
        self.params = params

    def body(self, language: Language, *, instance: str = "", trace_id: str = "") -> dict[str, Any]:
        """The members of the answer, in one language."""
        params = _Params(self.params, count=len(self.errors))
        return {
            **self.members,
            "type": f"/problems/{self.code}",
            "title": self.entry.title.in_(language),
            "status": self.status,
            "detail": self.entry.detail.in_(language).format_map(params),
            "instance": instance,
            "code": self.code,
            "trace_id": trace_id,
            "errors": [error.told(language) for error in self.errors],
        }


class _Params(dict[str, object]):
    """Parameters of a text; one that nobody gave shows as an ellipsis rather than as a second failure."""

    def __init__(self, given: Mapping[str, object], **more: object) -> None:
        super().__init__({**more, **given})

    def __missing__(self, key: str) -> str:
        return "…"


def _fault(error: Fault | Mapping[str, Any]) -> Fault:
    if isinstance(error, Fault):
        return error
    return Fault(
        error["pointer"],
        error["code"],
        {name: value for name, value in error.items() if name not in {"pointer", "code", "detail"}},
    )


def problem_of(exc: ValidationError, loc_prefix: Sequence[str | int] = ()) -> Problem:
    """400 when the bytes are no JSON at all, else 422 with every fault."""
    if any(error["type"] == "json_invalid" for error in exc.errors(include_url=False, include_input=False, include_context=False)[:1]):
        return Problem("malformed_json")
    return Problem("invalid_content", errors=faults_of(exc, loc_prefix))


def answer(problem: Problem, connection: HTTPConnection) -> Response:
    """The problem as a response to that request, in its language and with its trace id."""
    language = language_of(connection.headers.get("accept-language"))
    body = problem.body(
        language,
        instance=quote(connection.url.path, safe="/:@!$&'()*+,;=-._~")[:LONGEST_INSTANCE],
        trace_id=str(getattr(connection.state, "trace_id", "")),
    )
    headers = {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store"}
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    content = json.dumps(body, ensure_ascii=False, allow_nan=False, default=str).encode("utf-8", "replace")
    return Response(content, problem.status, headers={**headers, **problem.headers}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every failure of that application a problem answer, and say so in its OpenAPI document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    for lost in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(lost, _on_database)
    app.add_exception_handler(Exception, on_anything)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    document_problems(app)


async def _on_problem(request: Request, exc: Exception) -> Response:
    return answer(exc if isinstance(exc, Problem) else Problem("internal_error"), request)


async def _on_refused(request: Request, exc: Exception) -> Response:
    return answer(Problem(exc.code, members=exc.members) if isinstance(exc, Refused) else Problem("internal_error"), request)


async def _on_invalid(request: Request, exc: Exception) -> Response:
    errors = exc.errors() if isinstance(exc, RequestValidationError) else []
    if any(error["type"] == "json_invalid" for error in errors):
        return answer(Problem("malformed_json"), request)
    return answer(Problem("invalid_content", errors=faults_of_request(errors)), request)


async def _on_http(request: Request, exc: Exception) -> Response:
    """Starlette's own refusals (404, 405, 413 …); their headers, such as Allow, are kept, their texts are not.

    FastAPI says 400 to whatever is raised while it reads a body: then what was raised is the answer.
    """
    if isinstance(exc.__cause__, Problem):
        return answer(exc.__cause__, request)
    if not isinstance(exc, HTTPException) or exc.status_code < HTTPStatus.BAD_REQUEST:
        return answer(Problem("internal_error"), request)
    return answer(Problem(_code_of(exc.status_code, request), status=exc.status_code, headers=exc.headers), request)


def _code_of(status: int, request: Request) -> str:
    """FastAPI says 400 without a reason for JSON that its decoder gives up on: bad UTF-8, too deep, a number too long."""
    if status == HTTPStatus.BAD_REQUEST and "json" in request.headers.get("content-type", ""):
        return "malformed_json"
    return CODE_OF_STATUS.get(status) or ("malformed_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error")


async def _on_database(request: Request, exc: Exception) -> Response:
    log.warning("database_unavailable", error=type(exc).__name__, path=request.url.path)
    return answer(Problem("database_unavailable"), request)


async def _on_disconnect(request: Request, exc: Exception) -> Response:
    """The client left before its request was complete; nobody reads this."""
    del exc
    return answer(Problem("malformed_request"), request)


async def on_anything(request: Request, exc: Exception) -> Response:
    """Logged with its stack under the trace id; the client learns the trace id and nothing else."""
    log.error("unhandled", path=request.url.path, trace_id=getattr(request.state, "trace_id", ""), exc_info=exc)
    return answer(Problem("internal_error"), request)
