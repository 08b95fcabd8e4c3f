"""How does a RabbitMQ of our own run, with nothing of its own on the network and no ``guest``?"""

import os
import shutil
import signal
from pathlib import Path

from magasin.home import LOOPBACK, Memory, write_private
from magasin.listening import listens
from magasin.processes import dying_with_parent
from magasin.supervise import Child

USER = "magasin"
NODE = "magasin@localhost"
DEBIAN = Path("/usr/lib/rabbitmq/bin")
"""Not /usr/sbin: the scripts there change to a system user and read the system's configuration."""

# Idle schedulers that spin take the processor from everything else on a small machine.
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"
PLUGINS = "[rabbitmq_management].\n"


class NotInstalledError(RuntimeError):
    """There is no RabbitMQ, or no Erlang, on this machine."""


def server_script() -> Path | None:
    """The script that becomes the server, None when there is none."""
    if (DEBIAN / "rabbitmq-server").exists():
        return DEBIAN / "rabbitmq-server"
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path) if on_path else None


def epmd_program() -> str | None:
    """The name server of Erlang, which RabbitMQ insists on."""
    found = shutil.which("epmd")
    if found:
        return found
    return next((str(path) for path in sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))), None)


def servers(home: Path, memory: Memory, *, stop_signal: signal.Signals = signal.SIGTERM) -> tuple[list[Child], str, str]:
    """The processes to run, the AMQP URL and the management URL. Raises NotInstalledError."""
    script, epmd = server_script(), epmd_program()
    if script is None or epmd is None:
        raise NotInstalledError
    folder = home / "rabbitmq"
    password = memory.password("rabbitmq")
    amqp, management, names = memory.port("rabbitmq"), memory.port("rabbitmq-management"), memory.port("epmd")
    environment = environment_of(folder, epmd_port=names, distribution_port=memory.port("rabbitmq-distribution"))
    name_server = Child(
        name="epmd",
        command=dying_with_parent((epmd, "-port", str(names), "-address", LOOPBACK), signal.SIGTERM),
        env=environment,
        cwd=Path("/"),
        stage=0,
        ready=lambda: listens(names),
    )
    broker = Child(
        name="rabbitmq",
        command=dying_with_parent((str(script),), signal.SIGTERM),
        env=environment,
        cwd=Path("/"),
        stage=1,
        stop_signal=stop_signal,
        stop_seconds=30,
        prepare=lambda: make(folder, memory.password("erlang-cookie"), configuration(amqp, management, password)),
        ready=lambda: listens(amqp),
        ready_seconds=120,
    )
    amqp_url = f"amqp://{USER}:{password}@{LOOPBACK}:{amqp}/"
    return [name_server, broker], amqp_url, f"http://{USER}:{password}@{LOOPBACK}:{management}"


def configuration(amqp_port: int, management_port: int, password: str) -> str:
    """The content of rabbitmq.conf. User and password take effect when the data is made."""
    return "\n".join((
        f"listeners.tcp.1 = {LOOPBACK}:{amqp_port}",
        f"management.tcp.ip = {LOOPBACK}",
        f"management.tcp.port = {management_port}",
        f"default_user = {USER}",
        f"default_pass = {password}",
        "default_user_tags.administrator = true",
        "log.console = true",
        "log.console.level = info",
        "log.file = false",
        "disk_free_limit.absolute = 256MB",
        "",
    ))  # fmt: skip


def make(folder: Path, cookie: str, conf: str) -> None:
    """Write what the server reads at its start. The cookie gives every right, so only its owner may read it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / ".erlang.cookie", cookie, mode=0o400)
    write_private(folder / "rabbitmq.conf", conf)
    write_private(folder / "enabled_plugins", PLUGINS)


def environment_of(folder: Path, *, epmd_port: int, distribution_port: int, node: str = NODE) -> dict[str, str]:
    """The whole environment of the broker: nothing of the machine's own RabbitMQ (files, cookie, ports) is looked at."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        # With it the script becomes the Erlang machine instead of waiting for one, so that signals and our pid are the server's.
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{NO_SPINNING} -kernel inet_dist_use_interface {{127,0,0,1}}",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": LOOPBACK,
    }
