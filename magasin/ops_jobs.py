"""Long work as commands: rebuilds, replays and verifications, followed by a progress bar, or left to themselves."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from magasin.ops_desk import FAILED, Desk, acts, looks
from magasin.ops_print import Columns, Listing

rebuilds = typer.Typer(help="Projections built again beside the live ones.", no_args_is_help=True)
replays = typer.Typer(help="Stretches of the log, published again to one queue.", no_args_is_help=True)
verifications = typer.Typer(help="Everything that is kept, compared with the log.", no_args_is_help=True)
GROUPS: Final[Mapping[str, typer.Typer]] = {"rebuilds": rebuilds, "replays": replays, "verifications": verifications}

JOB: Final[dict[str, str]] = {
    "id": "id", "state": "state", "done": "done", "total": "total", "succeeded": "succeeded", "failed": "failed", "rate/s": "rate",
    "to go (s)": "eta_seconds", "error": "error",
}  # fmt: skip
REBUILD: Final = {**JOB, "projection": "projection", "build": "generation", "cells that differ": "diff.cells"}
REPLAY: Final = {**JOB, "queue": "queue", "only counted": "dry_run"}
VERIFICATION: Final = {**JOB, "proven through": "verified_through", "checked": "checked", "mismatches": "mismatch_count"}
STANDING: Final = {
    "proven through": "verified_through", "age (s)": "age_seconds", "stores": "stores", "to come": "stores_to_come", "checked": "checked",
    "mismatches": "mismatch_count",
}  # fmt: skip
MISMATCHES: Final = {"where": "where", "expected": "expected", "found": "found"}
SAMPLE: Final = {"event": "event_id", "type": "type", "store": "store_id", "seq": "seq", "recorded": "recorded_at"}
EXAMPLES: Final = {"table": "table", "cell": "key", "before": "before", "after": "after"}

Id = Annotated[str, typer.Argument(help="Its id.")]
Rate = Annotated[float | None, typer.Option("--rate", help="Events a second at most.")]
Stay = Annotated[bool, typer.Option("--follow/--no-follow", help="Stay until it has ended.")]
Word = Annotated[str | None, typer.Option()]


def orders(group: typer.Typer, path: str, noun: str, columns: Columns, verbs: Mapping[str, str] | None = None) -> None:
    """The commands that every kind of job has: list, show, follow, pause, resume, cancel, and those that `verbs` names with their help."""

    def listed(desk: Desk, state: Word = None) -> None:
        desk.show(desk.get(path, state=state), columns)

    def shown(desk: Desk, job: Id) -> None:
        desk.told(desk.get(f"{path}/{job}"), columns)

    def followed(desk: Desk, job: Id) -> None:
        desk.watch(f"{path}/{job}", desk.get(f"{path}/{job}"), stay=True, show=lambda end: desk.told(end, columns))

    for name, function, words in (
        ("list", listed, "The newest first."),
        ("show", shown, "How far it is."),
        ("follow", followed, "Stay until it has ended."),
    ):
        function.__doc__ = words
        looks(group, name)(function)
    usual = {"pause": "It stays where it is.", "resume": "It goes on where it was.", "cancel": "It ends here; what is done stays done."}
    for verb, words in {**usual, **(verbs or {})}.items():
        _order(group, path, noun, columns, verb, words)


def _order(group: typer.Typer, path: str, noun: str, columns: Columns, verb: str, words: str) -> None:  # noqa: PLR0913, PLR0917 - one verb
    def ordered(desk: Desk, job: Id) -> None:
        desk.told(desk.deed(f"{path}/{job}/{verb}", f"{verb.capitalize()} {noun} {job}?"), columns)

    ordered.__doc__ = words
    acts(group, verb)(ordered)


@acts(rebuilds, "start")
def start_rebuild(desk: Desk, *, projection: Annotated[str, typer.Argument(help="Which.")], rate: Rate = None, stay: Stay = True) -> None:
    """Build a projection again from the log, beside the live one. Nobody sees it before it is promoted."""
    found = desk.deed("/rebuilds", f"Build {projection} again?", {"projection": projection, **_rate(rate)})
    desk.watch(f"/rebuilds/{found['id']}", found, stay=stay, show=lambda end: _rebuilt(desk, end))


@looks(rebuilds, "diff")
def diff_rebuild(desk: Desk, job: Id) -> None:
    """What would change: the largest differences of each table. The exit code is 1 when anything would."""
    found = desk.get(f"/rebuilds/{job}")
    if desk.as_json:
        desk.print_json(found["diff"])
    else:
        _rebuilt(desk, found)
    if (found["diff"] or {}).get("cells"):
        raise typer.Exit(FAILED)


@acts(replays, "start")
def start_replay(  # noqa: PLR0913 - the parts of a stretch, each an option
    desk: Desk,
    *,
    queue: Annotated[str, typer.Argument(help="The queue to publish to.")],
    since: Annotated[str | None, typer.Option("--from", help="Recorded from then on.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Recorded before then.")] = None,
    store: Word = None,
    type_: Annotated[str | None, typer.Option("--type")] = None,
    sku: Word = None,
    rate: Rate = None,
    stay: Stay = True,
) -> None:
    """Publish a stretch of the log to one queue. First it is counted and some of it shown; --dry-run ends there."""
    meant = {name: value for name, value in (("store", store), ("type", type_), ("sku", sku)) if value is not None}
    times = {name: value for name, value in (("from", since), ("to", until)) if value is not None}
    body = {"queue": queue, "filter": meant, **times, **_rate(rate)}
    preview = _counted(desk, desk.door.ask("POST", "/replays", body={**body, "dry_run": True}))
    if desk.dry_run or not preview["total"]:
        desk.watch(f"/replays/{preview['id']}", preview, stay=False, show=lambda end: _previewed(desk, end))
        return
    if not desk.as_json:
        _previewed(desk, preview)
    # What is recorded between the look and the deed isn't meant.
    found = desk.deed("/replays", f"Publish {preview['total']:,} events to {queue}?", {**body, "to": preview["to"]})
    desk.watch(f"/replays/{found['id']}", found, stay=stay, show=lambda end: desk.told(end, REPLAY))


@acts(verifications, "start")
def start_verification(desk: Desk, *, store: Word = None, rate: Rate = None, stay: Stay = True) -> None:
    """Fold the log again and compare it with all that is kept. The exit code is 1 when anything differs."""
    body = {**({"store_id": store} if store else {}), **_rate(rate)}
    found = desk.deed("/verifications", "Compare everything with the log?", body)
    ended = desk.watch(f"/verifications/{found['id']}", found, stay=stay, show=lambda end: _proven(desk, end, VERIFICATION))
    if ended["mismatch_count"]:
        raise typer.Exit(FAILED)


@looks(verifications, "standing")
def standing(desk: Desk) -> None:
    """What is proven now, through when, and what differs. The exit code is 1 when anything does."""
    found = desk.get("/verifications", limit=1)["standing"]
    if desk.as_json:
        desk.print_json(found)
    else:
        _proven(desk, found, STANDING)
    if found["mismatch_count"]:
        raise typer.Exit(FAILED)


orders(
    rebuilds,
    "/rebuilds",
    "rebuild",
    REBUILD,
    {"promote": "From now on everybody sees it.", "rollback": "Everybody sees the one again that it replaced."},
)
orders(replays, "/replays", "replay", REPLAY)
orders(verifications, "/verifications", "verification", VERIFICATION)


def _counted(desk: Desk, preview: dict[str, Any]) -> dict[str, Any]:
    """The preview, when everything is counted."""
    while preview["total"] is None:
        preview = desk.get(f"/replays/{preview['id']}")
    return preview


def _previewed(desk: Desk, preview: dict[str, Any]) -> None:
    desk.out.print(Listing(preview["sample"], SAMPLE, f"{preview['total']:,} events; the first:"))


def _rebuilt(desk: Desk, found: dict[str, Any]) -> None:
    desk.told(found, REBUILD)
    tables = (found["diff"] or {}).get("tables", {})
    examples = [{**each, "table": name} for name, part in tables.items() for each in part["examples"]]
    if examples:
        desk.out.print(Listing(examples, EXAMPLES, "What would change, the largest first"))


def _proven(desk: Desk, found: dict[str, Any], columns: Columns) -> None:
    desk.told(found, columns)
    if found["mismatches"]:
        desk.out.print(Listing(found["mismatches"], MISMATCHES, "What differs from the log"))


def _rate(rate: float | None) -> dict[str, float]:
    return {} if rate is None else {"max_per_second": rate}
