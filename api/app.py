"""The API's composition root: which parts there are, how they are wired, and in which order they start and stop."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from api import (
    audit,
    auth,
    cases,
    counts,
    events,
    health,
    live,
    operators_jobs,
    operators_letters,
    operators_overview,
    operators_pauses,
    operators_rebuilds,
    operators_redrives,
    operators_replays,
    operators_selections,
    operators_verifications,
    pages,
    problems,
    reads,
    reports,
    restock_reads,
    shelves,
    tills,
    users,
    webhook_log,
    webhooks,
)
from api.accounts import prepare_accounts
from api.batch import PATH as BATCH_PATH
from api.batch import BatchDesk
from api.command_list import COMMANDS, RECORD_SALE
from api.commands import Command, Desk
from api.document import asyncapi, batch_entry, command_entry, describe
from api.edge import Edge, Shortcut
from api.import_docs import import_entry, import_shapes
from api.imports import PATH as IMPORTS_PATH
from api.imports import ImportDesk
from api.intake import Intake
from api.known import Known
from api.reading import Reader
from api.restocks import COMMANDS as RESTOCK_COMMANDS
from api.restocks import RestockDesk
from api.sessions import ANNOUNCED as ACCOUNTS
from api.sessions import Sessions
from api.tokens import tokens_of
from infra.announcements import Announcements
from infra.canary import Canary
from infra.connection import BrokerUnavailable
from infra.database import engine_for
from infra.logs import configure
from infra.management import Management
from infra.memory import Memory
from infra.outgoing import Outgoing
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings, settings
from infra.topology import provide
from infra.traces import traces
from schemas.imports import IMPORTS
from schemas.requests import RecordSales

NAME = "api"
VERSION = "0.1.0"
EVERYTHING_ELSE = "/api/{rest:path}"
BUILDERS = 2
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Endpoint = Callable[[Request], Awaitable[Response]]
log = structlog.get_logger(__name__)


class CommandRoute(APIRoute):
    """A route whose endpoint takes the request as it is: the hot path pays for no dependency solving (measured: 222 µs against 100 µs)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        return self.endpoint


def create_app(config: Settings | None = None) -> FastAPI:
    """The API with all its parts, not yet connected: that happens at startup."""
    config = config or settings()
    configure(config.worker_name or NAME, config.log_level)
    traces.begin(config.worker_name or NAME, config.traces_url)
    app = FastAPI(
        title="Magasin",
        version=VERSION,
        summary="Keeps the stock of a chain of shops right, at once, everywhere.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=lambda route: route.name.strip("_"),
    )
    _assemble(app, config)
    shortcut = _take_commands(app)
    for each in (
        auth.router,
        auth.keys_router,
        users.router,
        audit.router,
        operators_overview.router,
        operators_pauses.router,
        operators_jobs.router,
        operators_letters.router,
        operators_selections.router,
        operators_redrives.router,
        operators_rebuilds.router,
        operators_rebuilds.ordering,
        operators_replays.router,
        operators_replays.ordering,
        operators_verifications.router,
        operators_verifications.ordering,
        webhooks.router,
        webhook_log.router,
        events.router,
        reads.router,
        shelves.router,
        counts.router,
        cases.router,
        tills.router,
        restock_reads.router,
        reports.router(),
        live.router,
        health.router,
    ):
        app.include_router(each)
    app.add_api_route("/asyncapi.json", lambda: asyncapi(VERSION), include_in_schema=False)
    app.add_api_route(EVERYTHING_ELSE, _no_such_route, methods=list(METHODS), include_in_schema=False)
    pages.install(app)
    app.add_middleware(
        Edge,
        limit_of=lambda path: limit_of(config, path),
        shortcut=shortcut,
        instance=config.worker_name,
    )
    problems.install(app)
    describe(app, [*{command.body for command in (*COMMANDS, *RESTOCK_COMMANDS)}, RecordSales], import_shapes())
    return app


def limit_of(config: Settings, path: str) -> int:
    """The bytes that the body of a request to this path may have."""
    if path.startswith(IMPORTS_PATH):
        return config.import_limit_bytes
    return config.batch_limit_bytes if path.endswith("/sales/batch") else config.body_limit_bytes


def _assemble(app: FastAPI, config: Settings) -> None:
    state = app.state
    state.settings = config
    state.engine = engine_for(config, name=NAME, same_plans=False)
    state.building = state.engine if config.operator_database_url is None else _building(config, config.operator_database_url)
    state.redis = Redis.from_url(
        config.redis_url,
        socket_timeout=config.redis_timeout_seconds,
        socket_connect_timeout=config.redis_timeout_seconds,
        retry=None,
        protocol=2,
    )
    state.tokens = tokens_of(config)
    state.publisher = ConfirmingPublisher(config.amqp_url, name=NAME, timeout_seconds=config.publish_timeout_seconds)
    state.canary = Canary(config.amqp_url, state.publisher, name=NAME)
    state.memory = Memory(state.redis, ttl_seconds=config.fingerprint_ttl_seconds, timeout_seconds=config.redis_timeout_seconds)
    state.intake = Intake(state.publisher, state.memory, config)
    state.known = Known(state.engine, state.memory)
    state.live = live.Live()
    state.reader = Reader(state.engine, state.redis, ttl_seconds=config.cache_ttl_seconds, timeout_seconds=config.redis_timeout_seconds)

    state.outgoing = Outgoing(private=config.webhook_private_targets, timeout_seconds=config.webhook_timeout_seconds)
    state.management = Management(config.rabbitmq_management_url, config.amqp_url)
    state.sessions = Sessions(state.engine, state.tokens, state.publisher, state.live.leave)

    def heard(kind: str, content: dict[str, Any]) -> None:
        if kind == "outcomes":
            state.intake.heard(content["outcomes"])
        elif kind == "projected":
            state.known.heard(content["stores"])
            state.live.heard(content)
        elif kind == ACCOUNTS:
            state.sessions.heard(content)

    state.announcements = Announcements(config.amqp_url, heard, name=NAME, joined=state.sessions.joined)


def _take_commands(app: FastAPI) -> Shortcut:
    """Add the commands' routes, before all others since the router asks one after the other; answers the shortcut to the hottest."""
    state = app.state
    desk = Desk(state.settings, state.intake, state.known)
    for command in COMMANDS:
        _add_command(app, command, desk.endpoint(command))
    for command, endpoint in RestockDesk(desk, state.known).endpoints():
        _add_command(app, command, endpoint)
    sale = next(route for route in app.routes if isinstance(route, CommandRoute) and route.path == RECORD_SALE.path)
    _add(
        app,
        BATCH_PATH,
        method="POST",
        endpoint=BatchDesk(desk, state.intake, state.known).record,
        name="record_sales",
        summary="Enregistrer des ventes / Record sales",
        entry=batch_entry(BATCH_PATH),
    )
    imports = ImportDesk(desk, state.intake, state.known)
    for kind in IMPORTS:
        _add(
            app,
            IMPORTS_PATH + kind.name,
            method="POST",
            endpoint=imports.endpoint(kind),
            name=f"import_{kind.name.replace('-', '_')}",
            summary=kind.summary,
            entry=import_entry(kind),
        )
    return Shortcut(RECORD_SALE.method, sale.path_regex, sale.endpoint, sale)


def _add_command(app: FastAPI, command: Command, endpoint: Endpoint) -> None:
    _add(
        app,
        command.path,
        method=command.method,
        endpoint=endpoint,
        name=re.sub(r"(?<=[a-z])(?=[A-Z])", "_", command.body.__name__).lower(),
        summary=command.summary,
        entry=command_entry(command),
    )


def _add(app: FastAPI, path: str, method: str, endpoint: Endpoint, name: str, summary: str, entry: dict[str, Any]) -> None:
    app.router.add_api_route(
        path,
        endpoint,
        methods=[method],
        status_code=202,
        summary=summary,
        tags=["commands"],
        openapi_extra=entry,
        response_model=None,
        route_class_override=CommandRoute,
        operation_id=name,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    await _declare(state.settings)
    await state.publisher.start()
    await state.announcements.start()
    await asyncio.to_thread(prepare_accounts, state.engine, state.settings)
    await state.known.load()
    log.info("started", port=state.settings.port)
    yield
    state.live.close()
    await state.intake.drain()
    await state.announcements.close()
    await state.sessions.close()
    await state.canary.close()
    await state.publisher.close()
    state.outgoing.close()
    state.management.close()
    await asyncio.to_thread(traces.end)
    # On a busy machine the goodbye may take longer than Redis may take for anything: the end goes on without it.
    with suppress(RedisError):
        await state.redis.aclose()
    state.engine.dispose()
    state.building.dispose()
    log.info("stopped")


def _building(config: Settings, operator_url: str) -> Engine:
    """The few connections on which operators order builds about."""
    return engine_for(config.model_copy(update={"database_url": operator_url, "database_pool_size": BUILDERS}), name=f"{NAME}-building")


async def _declare(config: Settings) -> None:
    """Make the topology, or see that it is there, if the broker is; if not, /readyz says so until the publisher finds its exchanges."""
    try:
        await provide(config.amqp_url, name=f"{NAME}-topology")
    except BrokerUnavailable as error:
        log.warning("broker_away", error=error.reason)


async def _no_such_route(request: Request) -> None:
    """404; but 405 where the path is there for another method, which the route that ends here would hide."""
    path = request.url.path
    methods = {method for route in _routes(request.app) if route[0].fullmatch(path) for method in route[1]}
    if methods:
        raise problems.Problem("method_not_allowed", headers={"Allow": ", ".join(sorted(methods))})
    raise problems.Problem("not_found")


@cache
def _routes(app: FastAPI) -> list[tuple[re.Pattern[str], set[str]]]:
    found = [(str(route.path), set(route.methods or ())) for route in iter_route_contexts(app.routes)]
    return [(compile_path(path)[0], methods) for path, methods in found if path != EVERYTHING_ELSE]
