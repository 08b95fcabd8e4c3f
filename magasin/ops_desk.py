"""What do all commands of the operators' desk have in common: how they ask, confirm, show, and end?

Each takes ``--json``, ``--url`` and ``--direct``; those that change something also ``--reason``, ``--dry-run`` and ``--yes``. The exit code
says what happened, so that a script need not read.
"""

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from typer import Typer

from magasin.ops_door import PREFIX, Declined, Door, NobodyAnswers, Way
from magasin.ops_print import Columns, Listing, follow, member, problem

FAILED: Final = 1
"""The job failed, or something differs that shouldn't."""
USAGE: Final = 2
REFUSED: Final = 3
NOT_ALLOWED: Final = 4
NOBODY: Final = 5
ENDED_WELL: Final = frozenset({"done", "ready", "promoted", "rolled_back", "paused", "cancelled"})
Json = dict[str, Any]

_LOOKS: Final[Mapping[str, Any]] = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")],
    "url": Annotated[str | None, typer.Option("--url", help="The API's address. Without: MAGASIN_URL, or the system that runs here.")],
    "direct": Annotated[bool, typer.Option("--direct", help="Straight to the servers, also when the API answers.")],
}
_DEEDS: Final[Mapping[str, Any]] = {
    **_LOOKS,
    "reason": Annotated[str | None, typer.Option("--reason", help="Why, for the audit log.")],
    "dry_run": Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")],
    "yes": Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")],
}


@dataclass
class Desk:
    """One command at work. `door` opens at the first question."""

    as_json: bool = False
    url: str | None = None
    direct: bool = False
    reason: str | None = None
    dry_run: bool = False
    yes: bool = False
    out: Console = field(default_factory=Console)
    err: Console = field(default_factory=lambda: Console(stderr=True))
    _door: Door | None = None

    @property
    def door(self) -> Door:
        """The way in."""
        if self._door is None:
            self._door = Door.open(Way(self.url, self.direct))
            if self._door.direct:
                self.err.print("Straight to the servers, without the API.", style="yellow")
        return self._door

    def get(self, path: str, **query: Any) -> Json:  # noqa: ANN401 - what a query takes
        """What the API shows there."""
        return self.door.ask("GET", path, query=query)

    def show(self, found: Json, columns: Columns, *, member: str = "items", title: str = "") -> None:
        """The answer as it is, or a table of its items."""
        if self.as_json:
            self.print_json(found)
        else:
            self.out.print(Listing(found[member], columns, title))

    def told(self, found: Json, columns: Columns) -> None:
        """One thing: the answer as it is, or a line for each of its members."""
        if self.as_json:
            self.print_json(found)
        else:
            lines = [{"member": heading, "value": member(found, path)} for heading, path in columns.items()]
            self.out.print(Listing(lines, {"": "member", " ": "value"}))

    def print_json(self, found: Any) -> None:  # noqa: ANN401 - JSON
        """For programs."""
        sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")

    def deed(self, path: str, question: str, body: Json | None = None, *, preview: bool = False) -> Json:
        """Ask whether, then do it. A dry run only says what would be sent, unless the API itself has a `preview` of it."""
        sent = {**(body or {}), **({"reason": self.reason} if self.reason else {})}
        if self.dry_run and not preview:
            self.print_json({"dry_run": True, "request": {"method": "POST", "path": PREFIX + path, "body": sent}})
            raise typer.Exit
        if not self.dry_run:
            self.confirm(question)
        return self.door.ask("POST", path, body=sent)

    def confirm(self, question: str) -> None:
        """Go on only when the person says so."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            self.err.print(f"{question} Say --yes: nobody is here to ask.", style="bold red")
            raise typer.Exit(USAGE)
        if not typer.confirm(question, err=True):
            raise typer.Exit(USAGE)

    def watch(self, path: str, started: Json, *, stay: bool, show: Callable[[Json], None]) -> Json:
        """Follow a job to its end with a progress bar, and say by the exit code how it ended; as it was seen last."""
        found = started
        if stay and found["state"] == "running":
            with suppress(KeyboardInterrupt):
                found = follow(lambda: self.get(path), found, self.err)
            if found["state"] == "running":
                self.err.print(f"It goes on without you: {PREFIX}{path}", style="yellow")
        if self.as_json:
            self.print_json(found)
        else:
            show(found)
        if found["state"] != "running" and found["state"] not in ENDED_WELL:
            raise typer.Exit(FAILED)
        return found

    def complain(self, declined: Declined) -> None:
        """Show why the API said no: for people, or as the problem that it sent."""
        if self.as_json:
            sys.stderr.write(json.dumps({"status": declined.status, **declined.problem}, ensure_ascii=False) + "\n")
        else:
            self.err.print(problem(declined.status, declined.problem, str(declined)))

    def leave(self) -> None:
        """Close the door."""
        if self._door is not None:
            self._door.close()


def looks(app: Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that only looks: its function gets a `Desk` first."""
    return lambda function: app.command(name)(_at_desk(function, _LOOKS))


def acts(app: Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that changes something."""
    return lambda function: app.command(name)(_at_desk(function, _DEEDS))


def _at_desk(function: Callable[..., None], common: Mapping[str, Any]) -> Callable[..., None]:
    """The function with the common options beside its own; its first parameter is the desk that they make."""

    @wraps(function)
    def command(**given: Any) -> None:  # noqa: ANN401 - what typer read
        desk = Desk(**{name: given.pop(name) for name in common})
        try:
            function(desk, **given)
        except Declined as declined:
            desk.complain(declined)
            raise typer.Exit(_code(declined.status)) from None
        except NobodyAnswers as nobody:
            desk.err.print(str(nobody), style="bold red")
            raise typer.Exit(NOBODY) from None
        finally:
            desk.leave()

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None if name in {"url", "reason"} else False, annotation=annotation)
        for name, annotation in common.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + options
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    del command.__wrapped__
    return command


def _code(status: int) -> int:
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return NOT_ALLOWED
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return NOBODY
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return FAILED
        case _:
            return REFUSED
