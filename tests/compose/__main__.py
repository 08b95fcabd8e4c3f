"""Does the whole system work in containers, and does it lose nothing while each of them is restarted? ``make compose-smoke``.

An installation of its own, with its own name, secrets, volumes and port: what else runs on this machine stays as it is. It builds the
image, starts what `docker compose up` starts, sells, restarts container after container while tills go on selling, and compares the stock
and the report with what was accepted. At the end it stops everything, looks whether our processes ended by themselves, and removes it all.
"""

import argparse
import os
import secrets
import socket
import sys
import tempfile
import time
from pathlib import Path

from magasin.strongbox import fill
from tests.compose.engine import Container, EngineError, Project, is_there, run
from tests.compose.standins import needed, provide
from tests.compose.tills import Chain, Refused, Tills

OURS = ("api", "stock-writer", "projector", "dead-letters", "outbound", "operator")
SERVERS = ("postgres", "rabbitmq", "redis")
MOST_IMAGE_BYTES = 250_000_000
OPENING = 10_000
SKUS = ("SMOKE-1", "SMOKE-2", "SMOKE-3")
TILLS = 3
SALES_AFTER_EACH = 10
LOOK_SECONDS = 0.5
WELL_SECONDS = 300.0


class Broken(RuntimeError):
    """Something isn't as it must be."""


def main() -> int:
    """The exit code: 0 when everything was as it must be."""
    words = argparse.ArgumentParser(prog="make compose-smoke", description=__doc__)
    words.add_argument("--keep", action="store_true", help="leave everything running at the end")
    asked = words.parse_args()
    if not is_there():
        sys.stderr.write("There is no Docker engine here, or it can't be used by you.\n")
        return 1
    port, name = _free_port(), f"magasin-smoke-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="magasin-smoke-") as folder:
        box = Path(folder) / "secrets"
        fill(box)
        settings = {"MAGASIN_PORT": str(port), "MAGASIN_SECRETS": str(box), "MAGASIN_VERSION": "smoke", "MAGASIN_ENV": "production"}
        try:
            project = Project(name, settings)
            _try(project, Chain(f"http://127.0.0.1:{port}", (box / "admin_password").read_text().strip(), "smoke"), keep=asked.keep)
        except (EngineError, Refused, Broken) as error:
            sys.stderr.write(f"It does not work: {error}\n")
            return 1
    _say("Everything is as it must be.")
    return 0


def _try(project: Project, chain: Chain, *, keep: bool) -> None:
    try:
        _start(project)
        _look_at(project)
        sold = _sell_through_restarts(project, chain)
        _compare(chain, sold)
        _stop(project)
    except (EngineError, Refused, Broken):
        sys.stderr.write(project.compose("logs", "--no-color", "--tail", "15"))
        raise
    finally:
        if not keep:
            project.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def _start(project: Project) -> None:
    services = project.config()["services"]
    images = [str(each["image"]) for each in services.values() if "build" not in each] if isinstance(services, dict) else []
    script = os.environ.get("MAGASIN_STANDINS")
    made = provide(needed(images), Path(script).absolute() if script else None)
    if made:
        _say(f"Stand-ins for {', '.join(made)}")
    project.compose("build", "api")
    _say("The image is built")
    project.compose("up", "--detach", "--wait", "--wait-timeout", "600")
    _say(f"{len(project.containers())} containers are up, in the order of their needs")


def _look_at(project: Project) -> None:
    """Whether the containers really are as the compose file says."""
    for one in project.containers():
        problems = {
            "runs as root": one.user in {"", "0", "root"},
            "can write its file system": not one.read_only,
            "keeps capabilities": one.dropped != ("ALL",),
            "has no limit": one.memory_bytes == 0,
            "did not work": not one.works and one.exit_code != 0,
        }
        told = [what for what, wrong in problems.items() if wrong]
        if told:
            raise Broken(f"{one.name} {' and '.join(told)}")
    (image,) = {one.image for one in project.containers() if one.service in OURS}
    size, base = _size(image), _base_size()
    _say(f"Our image has {size / 1e6:.0f} MB, of which {base / 1e6:.0f} MB are Python's")
    if size - base > MOST_IMAGE_BYTES // 2:
        raise Broken(f"what lies on top of Python has {(size - base) / 1e6:.0f} MB")


def _sell_through_restarts(project: Project, chain: Chain) -> dict[str, int]:
    """Restart container after container under load; what was sold of each SKU."""
    chain.open(dict.fromkeys(SKUS, OPENING))
    _say("A store is open, with stock")
    tills = Tills(chain, list(SKUS), TILLS)
    tills.start()
    try:
        tills.until_sold(SALES_AFTER_EACH)
        for service in (*OURS, *SERVERS):
            began = time.monotonic()
            project.compose("restart", "--no-deps", service)
            _until_well(project, service)
            tills.until_sold(SALES_AFTER_EACH)
            _say(f"{service} was restarted and is well again after {time.monotonic() - began:.0f} s; {tills.sales} sales are accepted")
    finally:
        tills.stop()
    return dict(tills.sold)


def _compare(chain: Chain, sold: dict[str, int]) -> None:
    expected = {sku: OPENING - sold[sku] for sku in SKUS}
    chain.until(lambda: chain.stock(expected) == expected, f"the stock {expected}")
    chain.until(lambda: chain.sold_units() == sum(sold.values()), f"a report of {sum(sold.values())} units")
    # And it stays so: nothing that was sent twice comes late.
    if chain.stock(expected) != expected or chain.sold_units() != sum(sold.values()):
        raise Broken("the stock went on changing after the last sale")
    _say(f"The stock and the report show the {sum(sold.values())} units that were accepted, and no other")


def _stop(project: Project) -> None:
    project.compose("stop")
    for one in project.containers():
        if one.service in OURS and one.exit_code != 0:
            raise Broken(f"{one.name} was told to stop and ended with {one.exit_code}")
    _say("All ended by themselves when they were told to")


def _until_well(project: Project, service: str) -> None:
    deadline = time.monotonic() + WELL_SECONDS
    while not _well(project.containers(), service):
        if time.monotonic() > deadline:
            raise Broken(f"{service} is not well {WELL_SECONDS:.0f} s after its restart")
        time.sleep(LOOK_SECONDS)


def _well(containers: list[Container], service: str) -> bool:
    return all(one.works for one in containers if one.service == service)


def _size(image: str) -> int:
    return int(run(["docker", "image", "inspect", "--format", "{{.Size}}", image]))


def _base_size() -> int:
    return _size(next(image for image in needed([]) if image.startswith("python:")))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _say(what: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
