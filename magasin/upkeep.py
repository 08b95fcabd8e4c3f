"""The commands with which an installation is set up and kept: ``definitions``, ``backup``, ``restore``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.settings import settings
from magasin import house

BACKUPS = house.ROOT / "backups"
"""Not among the data: whoever removes those has the backups still."""
Quiet = Annotated[float, typer.Option(min=0, max=3_600, help="So many seconds at most until nothing waits to be recorded.")]


def add_to(app: typer.Typer) -> None:
    """Let the command line have these commands."""
    for command in (definitions, backup, restore):
        app.command()(command)


def definitions(
    *, passwords: Annotated[Path | None, typer.Option(help="The folder with the users' passwords; without it nobody can sign in.")] = None
) -> None:
    """Print RabbitMQ's definitions.json: topology, users, rights, policies."""
    from magasin.definitions import NoPasswordsError, written  # noqa: PLC0415 - the other commands start without it

    try:
        typer.echo(written(passwords), nl=False)
    except (NoPasswordsError, OSError) as error:
        raise _fail(str(error)) from None


def backup(
    *,
    to: Annotated[Path | None, typer.Option(help="The folder of backups; without it, the checkout's own.")] = None,
    keep: Annotated[int, typer.Option(min=1, max=1_000, help="So many stay; older ones are removed.")] = 7,
    patience: Quiet = 30.0,
) -> None:
    """Back up everything that is recorded, while shops sell."""
    from magasin.backup import back_up  # noqa: PLC0415 - the other commands start without it
    from magasin.manifest import BackupError  # noqa: PLC0415 - the same
    from magasin.servers_at_hand import with_servers  # noqa: PLC0415 - the same

    asked = settings()
    home = house.home_of(asked)
    try:
        made = with_servers(home, lambda there: back_up(there, asked, to or BACKUPS, keep=keep, patience_seconds=patience))
    except BackupError as error:
        raise _fail(f"No backup: {error}") from None
    Console().print(made.told(), highlight=False, soft_wrap=True)


def restore(
    folder: Annotated[Path, typer.Argument(help="One backup.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace what is recorded there.")] = False,
) -> None:
    """Put a backup in the place of an empty database, and prove that every figure is there."""
    from magasin.manifest import BackupError  # noqa: PLC0415 - the other commands start without it
    from magasin.restore import put_back  # noqa: PLC0415 - the same
    from magasin.servers_at_hand import with_servers  # noqa: PLC0415 - the same

    asked = settings()
    try:
        proof = with_servers(house.home_of(asked), lambda there: put_back(folder, there, asked, force=force))
    except BackupError as error:
        raise _fail(f"Not restored: {error}") from None
    Console().print(proof.told(), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if proof.right else 1)


def _fail(message: str) -> typer.Exit:
    Console(stderr=True).print(message, style="bold red", highlight=False, soft_wrap=True)
    return typer.Exit(1)
