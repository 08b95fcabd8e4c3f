"""The command line: ``magasin run``, ``stop``, ``env``, ``demo``, ``load-year``, ``ops`` and the single processes."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.settings import Settings, settings
from magasin import house, ops, state, upkeep
from magasin.servers import AMQP_URL, DATABASE_URL

app = typer.Typer(
    help="Keeps the stock of a chain of shops right, at once, everywhere.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they hold passwords
)
app.add_typer(ops.app, name="ops")
upkeep.add_to(app)
FAILED = 1
SAME = (0, "")
"""A service that isn't named."""
POOL = "Instances, and rr, lc, hash, weighted or weighted:3,2,1."


def _errors() -> Console:
    return Console(stderr=True)


def _fail(message: str) -> typer.Exit:
    _errors().print(message, style="bold red", highlight=False, soft_wrap=True)
    return typer.Exit(FAILED)


def _demonstration_unless_named(asked: Settings) -> Settings:
    """The settings with the demonstration's accounts, unless the environment says what this system is."""
    return asked if "MAGASIN_ENV" in os.environ else asked.model_copy(update={"env": "demo"})


@app.command()
def run(
    *,
    demonstration: Annotated[bool, typer.Option(help="Load the demonstration's stores, products and opening stock.")] = True,
    instances: Annotated[int | None, typer.Option(min=1, max=64, help="So many of the API, behind a gateway.")] = None,
    balance: Annotated[str, typer.Option(help="Who gets the next request: rr, lc, hash or weighted.")] = "rr",
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from magasin.gateway.plan import BadPlan, shared  # noqa: PLC0415 - the other commands start without it
    from magasin.run import run as run_all  # noqa: PLC0415 - the same

    chosen = _demonstration_unless_named(settings())
    try:
        plan = None if instances is None else shared(f"{instances} {balance}")
    except BadPlan as error:
        raise _fail(f"That can't be started: {error}") from None
    run_all(chosen, Console(), demonstration=demonstration and chosen.env == "demo", plan=plan)


@app.command()
def deploy(  # noqa: PLR0913 - one option a service
    *,
    auth: Annotated[tuple[int, str], typer.Option(help=POOL)] = SAME,
    products: Annotated[tuple[int, str], typer.Option(help=POOL)] = SAME,
    sales: Annotated[tuple[int, str], typer.Option(help=POOL)] = SAME,
    reports: Annotated[tuple[int, str], typer.Option(help=POOL)] = SAME,
    live: Annotated[tuple[int, str], typer.Option(help=POOL)] = SAME,
    ops_: Annotated[tuple[int, str], typer.Option("--ops", help=POOL)] = SAME,
    pages: Annotated[tuple[int, str], typer.Option(help=POOL)] = SAME,
    others: Annotated[tuple[int, str], typer.Option(help="The instances that all services share which aren't named.")] = (1, "rr"),
    replace: Annotated[bool, typer.Option("--replace", help="Start every instance anew, one by one, as for a new version.")] = False,
    only_write: Annotated[bool, typer.Option("--only-write", help="Write the files for Docker Compose and Kong, start nothing.")] = False,
) -> None:
    """Change how many instances of each service there are, and who gets the next request. No request is dropped.

    What `make run INSTANCES=2` started is changed; else, with Docker, the containers are started or changed.
    """
    from magasin.gateway import deploy as deployment  # noqa: PLC0415 - the other commands start without it
    from magasin.gateway.orders import NotDeployed, Order  # noqa: PLC0415 - the same
    from magasin.gateway.plan import BadPlan  # noqa: PLC0415 - the same

    words = {"auth": auth, "products": products, "sales": sales, "reports": reports, "live": live, "ops": ops_, "pages": pages}
    named = {name: f"{count} {algorithm}" for name, (count, algorithm) in words.items() if (count, algorithm) != SAME}
    order = Order(services=named, rest=f"{others[0]} {others[1]}", replace=replace)
    try:
        (deployment.write if only_write else deployment.deploy)(order, settings())
    except (BadPlan, NotDeployed) as error:
        raise _fail(f"Not deployed: {error}") from None
    Console().print(f"{'Written' if only_write else 'Deployed'}: {order.words()}", highlight=False)


@app.command()
def stop() -> None:
    """Stop what `magasin run` started, from another terminal."""
    try:
        stopped = state.stop(house.home_of(settings()))
    except state.WontStopError:
        raise _fail(f"It hasn't stopped within {state.STOP_SECONDS} s. Its logs say why: {house.home_of(settings()) / 'logs'}") from None
    Console().print("Stopped." if stopped else "Nothing was running.")


@app.command()
def env() -> None:
    """Print the running system's addresses for a shell: eval "$(magasin env)"."""
    try:
        variables = state.addresses(house.home_of(settings()))
    except state.NotRunningError:
        raise _fail("Nothing is running here. Start it: make run") from None
    typer.echo(state.shell_assignments({**variables, "MAGASIN_DEMO_PASSWORD": settings().demo_password}))


@app.command()
def api() -> None:
    """Run one API process in the foreground."""
    _become(house.api_command())


@app.command()
def worker(name: Annotated[str, typer.Argument(help=f"One of {', '.join(house.WORKERS)}.")]) -> None:
    """Run one worker in the foreground."""
    if name not in house.WORKERS:
        raise _fail(f"There is no worker {name!r}. Choose one of: {', '.join(house.WORKERS)}")
    _become(house.worker_command(name))


@app.command()
def migrate(*, new: Annotated[str | None, typer.Option(help="Write the next step instead, with this message.")] = None) -> None:
    """Bring the database that MAGASIN_DATABASE_URL names to the newest step; with MAGASIN_ROLE_PASSWORDS, make its roles too."""
    from magasin import migrate as steps  # noqa: PLC0415 - alembic is slow to import

    if new is not None:
        steps.write_step(settings().database_url, new)
        return
    steps.migrate(settings().database_url)
    if passwords := settings().role_passwords:
        from magasin.database_roles import apply  # noqa: PLC0415 - imports every projection

        signing_in = apply(settings().database_url, passwords)
        Console().print(f"Roles that can sign in: {', '.join(signing_in) or 'none'}.", highlight=False)


@app.command("secrets")
def make_secrets(
    *,
    folder: Annotated[Path, typer.Option(help="Where they lie.")] = house.ROOT / "compose" / "secrets",
    host: Annotated[list[str] | None, typer.Option(help="A name or address of the gateway, for its certificate; may be repeated.")] = None,
    renew_certificate: Annotated[bool, typer.Option("--renew-certificate", help="Make the gateway's certificate again.")] = False,
) -> None:
    """Make the passwords, keys and the certificate of an installation in containers. What is there is kept."""
    from magasin.strongbox import fill  # noqa: PLC0415 - makes certificates, which the other commands don't

    try:
        made = fill(folder, host or (), renew_certificate=renew_certificate or bool(host))
    except OSError as error:
        raise _fail(f"{folder} can't be written: {error}") from None
    told = f"{len(made.names)} made, the others kept" if made.names else "nothing was missing"
    new = "; the gateway has a new certificate, which it shows when it is started again" if made.certificate else ""
    Console().print(f"Secrets in {folder}: {told}{new}.", highlight=False, soft_wrap=True)


@app.command()
def demo() -> None:
    """Post the demonstration's baskets to the running system and compare its figures with the files."""
    from magasin.demo import demonstrate  # noqa: PLC0415 - reads the demonstration's files

    url = os.environ.get("MAGASIN_URL")
    try:
        url = url or state.addresses(house.home_of(settings()))["MAGASIN_URL"]
    except state.NotRunningError:
        raise _fail("Nothing is running here. Start it in another terminal: make run") from None
    raise typer.Exit(asyncio.run(demonstrate(url, settings().demo_password, Console())))


@app.command("load-year")
def load_year() -> None:
    """Load the whole year of baskets (1.44 million lines) into the running system, and compare its figures with the file."""
    from magasin.year import load_year as load  # noqa: PLC0415 - reads the demonstration's files

    home = house.home_of(settings())
    try:
        # Where the environment names the servers, there is no home that could tell.
        there = os.environ if {AMQP_URL, DATABASE_URL} <= os.environ.keys() else state.addresses(home)
    except state.NotRunningError:
        raise _fail(
            f"Nothing is running here. Start it in another terminal: make run\n(or name its servers: {AMQP_URL}, {DATABASE_URL})"
        ) from None
    raise typer.Exit(asyncio.run(load(home, there[AMQP_URL], there[DATABASE_URL], Console())))


def _become(command: tuple[str, ...]) -> None:
    """Turn into another program, so that signals and the process number are that program's."""
    os.chdir(house.ROOT)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    app()
