"""Dead letters as commands: find them, set them aside, choose them, and send them back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from magasin.ops_desk import REFUSED, Desk, acts, looks
from magasin.ops_jobs import JOB, Stay, orders

letters = typer.Typer(help="What could not be handled, and why.", no_args_is_help=True)
selections = typer.Typer(help="Letters that were chosen and don't change any more.", no_args_is_help=True)
redrives = typer.Typer(help="Chosen letters on their way back to their queue.", no_args_is_help=True)
GROUPS: Final[Mapping[str, typer.Typer]] = {"letters": letters, "selections": selections, "redrives": redrives}

LETTERS: Final = {
    "id": "id", "failed": "failed_at", "status": "status", "type": "type", "store": "store_id", "consumer": "consumer",
    "attempts": "attempts", "error": "error",
}  # fmt: skip
LETTER: Final = {
    "id": "id", "what": "summary.fr", "in English": "summary.en", "status": "status", "reason": "reason", "error": "error",
    "attempts": "attempts", "failed": "failed_at", "consumer": "consumer", "event": "event_id", "type": "type", "store": "store_id",
    "trace": "trace_id", "fingerprint": "fingerprint", "payload": "payload", "stack": "stack",
}  # fmt: skip
SELECTION: Final = {"selection": "selection_id", "letters": "count", "digest": "digest", "query": "query", "statuses": "statuses"}
ITEMS: Final = {"place": "place", "letter": "letter_id", "event": "event_id", "state": "state", "outcome": "outcome", "detail": "detail"}
Id = Annotated[str, typer.Argument(help="Its id.")]
Word = Annotated[str | None, typer.Option()]
QUERY: Final = "status=waiting fingerprint=… type=… store=… consumer=… reason=… search=… from=… to=…"
Named = Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help=f"Which: {QUERY}")]


@looks(letters, "list")
def list_letters(desk: Desk, query: Named = None, limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50) -> None:
    """The letters that a query finds, the newest first."""
    desk.show(desk.get("/dead-letters", **_query(desk, query), limit=limit), LETTERS)


@looks(letters, "groups")
def group_letters(
    desk: Desk, query: Named = None, by: Annotated[str, typer.Option("--by", help="fingerprint, type, store or consumer")] = "fingerprint"
) -> None:
    """The letters by what they have in common."""
    columns = {by: by, "letters": "count", "first": "first_failed_at", "last": "last_failed_at", "types": "types", "error": "error"}
    desk.show(desk.get("/dead-letters", **_query(desk, query), group_by=by), columns)


@looks(letters, "show")
def show_letter(desk: Desk, letter: Id) -> None:
    """All that is known of one letter."""
    desk.told(desk.get(f"/dead-letters/{letter}"), LETTER)


@acts(letters, "park")
def park_letter(desk: Desk, letter: Id) -> None:
    """Set it aside; it is never deleted. Needs --reason."""
    _letter(desk, letter, "park", f"Park letter {letter}?")


@acts(letters, "restore")
def restore_letter(desk: Desk, letter: Id) -> None:
    """Take it up again. Needs --reason."""
    _letter(desk, letter, "restore", f"Restore letter {letter}?")


@acts(letters, "edit")
def edit_letter(desk: Desk, letter: Id, patch: Annotated[Path, typer.Argument(help="A JSON Patch (RFC 6902).", exists=True)]) -> None:
    """Make a new letter of it, with another id; the original stays. Needs --reason."""
    body = {"patch": json.loads(patch.read_text(encoding="utf-8"))}
    desk.told(desk.deed(f"/dead-letters/{letter}/edit", f"Edit letter {letter}?", body), EDITED)


@acts(letters, "approve")
def approve_edit(desk: Desk, letter: Id) -> None:
    """Agree to somebody else's edit. Needs --reason."""
    desk.told(desk.deed(f"/dead-letters/{letter}/edit/approve", f"Approve the edit of letter {letter}?"), EDITED)


@acts(letters, "reject")
def reject_edit(desk: Desk, letter: Id) -> None:
    """Refuse an edit. Needs --reason."""
    desk.told(desk.deed(f"/dead-letters/{letter}/edit/reject", f"Reject the edit of letter {letter}?"), EDITED)


EDITED: Final = {"edit": "edit_id", "letter": "letter_id", "new letter": "new_letter_id", "event": "event_id", "state": "state"}


@looks(selections, "list")
def list_selections(desk: Desk) -> None:
    """The selections, the newest first."""
    desk.show(desk.get("/selections"), {**SELECTION, "by": "created_by", "made": "created_at"})


@looks(selections, "show")
def show_selection(desk: Desk, selection: Id) -> None:
    """One selection, and how its letters stand now."""
    desk.told(desk.get(f"/selections/{selection}"), SELECTION)


@acts(selections, "make")
def make_selection(desk: Desk, query: Named = None) -> None:
    """Choose letters and freeze the choice."""
    named = _query(desk, query)
    desk.told(desk.deed("/selections", f"Freeze the letters with {named or 'status waiting'}?", {"query": named}), SELECTION)


@acts(selections, "park")
def park_selection(desk: Desk, selection: Id) -> None:
    """Set its letters aside. Needs --reason."""
    desk.told(desk.deed(f"/selections/{selection}/park", f"Park the letters of {selection}?"), {**SELECTION, "changed": "changed"})


@acts(selections, "restore")
def restore_selection(desk: Desk, selection: Id) -> None:
    """Take its letters up again. Needs --reason."""
    desk.told(desk.deed(f"/selections/{selection}/restore", f"Restore the letters of {selection}?"), {**SELECTION, "changed": "changed"})


@acts(redrives, "start")
def start_redrive(  # noqa: PLR0913 - how a selection goes back, each part an option
    desk: Desk,
    *,
    selection: Id,
    rate: Annotated[float | None, typer.Option("--rate", help="Letters a second at most.")] = None,
    canary: Annotated[int | None, typer.Option("--canary", help="So many must pass before the others go.")] = None,
    go_on: Annotated[bool, typer.Option("--go-on", help="Go on when one fails again.")] = False,
    stay: Stay = True,
) -> None:
    """Send a selection back. With --dry-run, find out what would become of each letter."""
    known = desk.get(f"/selections/{selection}")
    chosen = {"max_per_second": rate, "canary": canary, "stop_on_failure": False if go_on else None}
    given = {name: value for name, value in chosen.items() if value is not None}
    body = {"selection_id": selection, "dry_run": desk.dry_run, "count": known["count"], "digest": known["digest"], **given}
    found = desk.deed("/redrives", f"Send {known['count']} letters back?", body, preview=True)
    desk.watch(f"/redrives/{found['id']}", found, stay=stay, show=lambda end: desk.told(end, {**JOB, "outcomes": "outcomes"}))


@looks(redrives, "items")
def redrive_items(desk: Desk, redrive: Id, outcome: Word = None) -> None:
    """What became of each letter, or would become of it."""
    desk.show(desk.get(f"/redrives/{redrive}/items", outcome=outcome, limit=500), ITEMS)


orders(redrives, "/redrives", "redrive", {**JOB, "outcomes": "outcomes"})


def _letter(desk: Desk, letter: str, verb: str, question: str) -> None:
    desk.told(desk.deed(f"/dead-letters/{letter}/{verb}", question), {"id": "id", "status": "status", "changed": "changed"})


def _query(desk: Desk, words: list[str] | None) -> dict[str, Any]:
    """``name=value`` words as a query."""
    pairs = [word.partition("=") for word in words or ()]
    for name, equals, _ in pairs:
        if not equals:
            desk.err.print(f"{name!r} is no name=value. Which: {QUERY}", style="bold red")
            raise typer.Exit(REFUSED)
    return {name: value for name, _, value in pairs}
