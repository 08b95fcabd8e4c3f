"""The operators' desk as commands: ``magasin ops …``, with the verbs of the API and the same effect."""

from datetime import datetime
from typing import Annotated, Any

import typer

from magasin import ops_jobs, ops_letters
from magasin.ops_desk import Desk, acts, looks
from magasin.ops_print import Listing

app = typer.Typer(help="See what failed, mend it, and prove that it is right again.", no_args_is_help=True)
consumers = typer.Typer(help="Who takes messages, and whether they wait.", no_args_is_help=True)
projections = typer.Typer(help="How far the figures are, where they stopped, and whether they wait.", no_args_is_help=True)
app.add_typer(consumers, name="consumers")
app.add_typer(projections, name="projections")
for name, group in (*ops_letters.GROUPS.items(), *ops_jobs.GROUPS.items()):
    app.add_typer(group, name=name)

QUEUES = {
    "queue": "name", "ready": "ready", "in hand": "unacknowledged", "consumers": "consumers", "in/s": "in_per_second",
    "out/s": "out_per_second", "oldest (s)": "oldest_seconds", "empty in (s)": "seconds_to_empty", "paused": "paused",
}  # fmt: skip
CONSUMERS = {"consumer": "name", "state": "state", "since": "since", "version": "version", "last error": "last_error"}
PROJECTIONS = {
    "projection": "name", "state": "state", "build": "generation", "behind (events)": "lag_events", "behind (s)": "lag_seconds",
    "stalled": "stalled_count", "paused": "paused_count",
}  # fmt: skip
ATTENTION = {"what": "what", "name": "name", "count": "count", "detail": "detail"}
GROUPS = {"fingerprint": "fingerprint", "waiting": "count", "type": "type", "consumers": "consumers", "error": "error"}
PROVEN = {
    "proven through": "verified_through", "age (s)": "age_seconds", "stores": "stores", "to come": "stores_to_come", "checked": "checked",
    "mismatches": "mismatch_count",
}  # fmt: skip
AUDIT = {"at": "at", "who": "actor", "what": "action", "on": "target", "why": "reason", "outcome": "outcome"}
JOBS = {
    "id": "id", "kind": "kind", "state": "state", "done": "done", "total": "total", "failed": "failed", "rate/s": "rate",
    "to go (s)": "eta_seconds", "by": "created_by", "begun": "created_at",
}  # fmt: skip
Name = Annotated[str, typer.Argument(help="Its name, as the list has it.")]
Until = Annotated[datetime | None, typer.Option("--until", help="When it ends by itself (with an offset, or in UTC).")]
StoreId = Annotated[str | None, typer.Option("--store", help="One store only.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many lines.")]


@looks(app, "overview")
def overview(desk: Desk) -> None:
    """Everything on one page; first what somebody should look at."""
    found = desk.get("/overview")
    if desk.as_json:
        desk.print_json(found)
        return
    parts: tuple[tuple[str, list[dict[str, Any]], dict[str, str]], ...] = (
        ("Attention", found["attention"], ATTENTION),
        ("Queues", found["queues"], QUEUES),
        ("Consumers", found["consumers"], CONSUMERS),
        ("Projections", found["projections"], PROJECTIONS),
        ("Dead letters", found["dead_letters"]["groups"], GROUPS),
        ("Proof", [found["verification"]], PROVEN),
    )
    for title, items, columns in parts:
        if items:
            desk.out.print(Listing(items, columns, title))


@looks(app, "queues")
def queues(desk: Desk) -> None:
    """What waits in each queue, how fast it moves, and how old the oldest is."""
    desk.show(desk.get("/queues"), QUEUES)


@looks(app, "jobs")
def jobs(
    desk: Desk, kind: Annotated[str | None, typer.Option("--kind")] = None, state: Annotated[str | None, typer.Option("--state")] = None
) -> None:
    """Redrives, rebuilds, replays and verifications, the newest first."""
    desk.show(desk.get("/jobs", kind=kind, state=state), JOBS)


@looks(app, "audit")
def audit(
    desk: Desk,
    actor: Annotated[str | None, typer.Option("--actor")] = None,
    action: Annotated[str | None, typer.Option("--action")] = None,
    target: Annotated[str | None, typer.Option("--target")] = None,
    limit: Limit = 50,
) -> None:
    """Who did what, when, why, and whether it was allowed."""
    desk.show(desk.get("/audit-log", actor=actor, action=action, target=target, limit=limit), AUDIT)


@looks(consumers, "list")
def list_consumers(desk: Desk) -> None:
    """Each consumer and how it does."""
    desk.show(desk.get("/consumers"), CONSUMERS)


@acts(consumers, "pause")
def pause_consumer(desk: Desk, name: Name, until: Until = None) -> None:
    """It gives back its messages and takes no others, until somebody says so. Needs --reason."""
    _outcome(desk, desk.deed(f"/consumers/{name}/pause", f"Let {name} wait?", _until(until)))


@acts(consumers, "resume")
def resume_consumer(desk: Desk, name: Name) -> None:
    """It takes messages again. Needs --reason."""
    _outcome(desk, desk.deed(f"/consumers/{name}/resume", f"Let {name} go on?"))


@looks(projections, "list")
def list_projections(desk: Desk) -> None:
    """Each projection and how far it is."""
    desk.show(desk.get("/projections"), PROJECTIONS)


@acts(projections, "pause")
def pause_projection(desk: Desk, name: Name, store: StoreId = None, until: Until = None) -> None:
    """Its figures, or one store's, stay as they are and say so. Needs --reason."""
    body = {**_until(until), **({"store_id": store} if store else {})}
    _outcome(desk, desk.deed(f"/projections/{name}/pause", f"Let {name} wait?", body))


@acts(projections, "resume")
def resume_projection(desk: Desk, name: Name, store: StoreId = None) -> None:
    """It goes on, also where it stopped at an event, and catches up from the log. Needs --reason."""
    _outcome(desk, desk.deed(f"/projections/{name}/resume", f"Let {name} go on?", {"store_id": store} if store else {}))


def _until(until: datetime | None) -> dict[str, Any]:
    if until is None:
        return {}
    return {"until": until.isoformat() if until.tzinfo else f"{until.isoformat()}Z"}


def _outcome(desk: Desk, found: dict[str, Any]) -> None:
    desk.told(found, {"name": "name", "state": "state", "changed": "changed", "pauses": "pauses"})
