"""How are the figures shown: on the terminal, in the README, and to a program?"""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import aio_pika
import psycopg
from redis.asyncio import Redis
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.measure import Found, Timing
from bench.plan import Quantiles
from bench.system import PIPELINE, System
from infra.connection import close, connect

RATIOS: Final = {
    "hot": ("pipeline_hot", "sync_hot", 1.5),
    "spread": ("pipeline_spread", "sync_spread", 1.5),
    "faststream": ("pipeline_spread", "faststream", 3.0),
    "floor": ("pipeline_spread", "floor", 0.5),
}
"""What is divided by what, and the least that it should be."""

TOLD: Final = {
    "pipeline_hot": "Magasin, one store and 10 SKUs",
    "sync_hot": "the request does the transaction itself, one store and 10 SKUs",
    "pipeline_spread": "Magasin, 12 stores × 4,000 SKUs",
    "sync_spread": "the request does the transaction itself, 12 stores × 4,000 SKUs",
    "faststream": "FastStream's default: one message and one transaction a sale, 12 stores × 4,000 SKUs",
    "floor": "the same FastAPI route with nothing behind it",
    "floor_shortcut": "the same, called by the shortcut that Magasin's own API takes",
    "batch": "Magasin, 100 sales a request, 12 stores × 4,000 SKUs: recorded",
    "batch_projected": "the same, counted when they are in the reports",
}
OURS: Final = ("api", "stock-writer", "projector")
PACKAGES: Final = ("fastapi", "uvicorn", "pydantic", "psycopg", "sqlalchemy", "aio-pika", "faststream", "uvloop")
PROC: Final = Path("/proc")


class Results:
    """Everything that was found."""

    def __init__(self, found: Mapping[str, Found], latency: Mapping[int, tuple[float, Quantiles, Quantiles]], timing: Timing) -> None:
        """`latency` has, by per cent of the rate: sales a second, and the times to the 202 and into the reports."""
        self.found = found
        self.latency = latency
        self.timing = timing

    def ratio(self, name: str) -> float:
        """The median of the rounds' ratios: what is divided was measured within the same minute."""
        above, below, _ = RATIOS[name]
        pairs = zip(self.found[above].rates, self.found[below].rates, strict=True)
        return median(one / other for one, other in pairs)

    def rss_mb(self) -> dict[str, float]:
        """The most that each process held at the end of a round."""
        most: dict[str, float] = {}
        for found in self.found.values():
            for name, megabytes in found.rss_mb.items():
                most[name] = max(megabytes, most.get(name, 0.0))
        return most

    def document(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What is written to ``bench.json``. Rates in sales a second; `facts` about machine and versions."""
        times: dict[str, Any] = {}
        for per_cent, suffix in ((50, ""), (80, "_80")):
            per_second, accepted, visible = self.latency[per_cent]
            times |= {f"p50_ms{suffix}": visible.p50_ms, f"p99_ms{suffix}": visible.p99_ms}
            times |= {f"accepted_p50_ms{suffix}": accepted.p50_ms, f"accepted_p99_ms{suffix}": accepted.p99_ms}
            times[f"paced_per_second{suffix}"] = round(per_second)
        return {
            **{name: round(found.rate) for name, found in self.found.items() if name in TOLD},
            **times,
            "rss_mb": self.rss_mb(),
            "ratios": {name: round(self.ratio(name), 2) for name in RATIOS},
            "rounds": {name: [round(rate) for rate in found.rates] for name, found in self.found.items() if name in TOLD},
            "cpu_us_per_sale": {name: found.cpu_us_per_sale for name, found in self.found.items()},
            "lines_per_sale": self.timing.lines,
            **facts,
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """What was measured, the figure, the ratio with its goal, and the processor time of a sale."""
        by_divisor = {below: (name, above, least) for name, (above, below, least) in RATIOS.items()}
        rows = []
        for name, told in TOLD.items():
            compared = ""
            if name in by_divisor:
                ratio, _, least = by_divisor[name]
                compared = f"{self.ratio(ratio):.2f} × (goal {least:g})"
            rows.append((told, f"{self.found[name].rate:,.0f}", compared, f"{self.found[name].cpu_us_per_sale['total']:,.0f}"))
        return rows

    def sentences(self) -> list[str]:
        """Latency and memory."""
        told = []
        for per_cent in (50, 80):
            per_second, accepted, visible = self.latency[per_cent]
            told.append(
                f"At {per_cent} % of that ({per_second:,.0f} sales/s): in the report after {visible.p50_ms:g} ms (p50), "
                f"{visible.p99_ms:g} ms (p99); accepted after {accepted.p50_ms:g} ms, {accepted.p99_ms:g} ms."
            )
        rss = self.rss_mb()
        told.append("Memory under load: " + ", ".join(f"{name} {rss[name]:.0f} MB" for name in OURS if name in rss) + ".")
        return told


def show(console: Console, results: Results, facts: Mapping[str, Any]) -> None:
    """The table, the processor time by process, and the README's version of it."""
    table = Table(title=_machine_told(facts), title_justify="left")
    table.add_column("sales through")
    for heading in ("sales/s", "Magasin against it", "CPU µs/sale"):
        table.add_column(heading, justify="right")
    for row in results.rows():
        table.add_row(*row)
    console.print(table)
    for sentence in results.sentences():
        console.print(sentence, highlight=False, soft_wrap=True)
    console.print(_costs(results.found))
    console.rule("for the README")
    console.print("\n".join(markdown(results, facts)), markup=False, highlight=False, soft_wrap=True)


def markdown(results: Results, facts: Mapping[str, Any]) -> list[str]:
    """The same as Markdown."""
    return [
        "| sales through | sales/s | Magasin against it |",
        "|---|---:|---:|",
        *(f"| {told} | {rate} | {compared} |" for told, rate, compared, _ in results.rows()),
        "",
        *(f"- {sentence}" for sentence in results.sentences()),
        f"- {_machine_told(facts)}; {_manner(results.timing)}",
    ]


def _manner(timing: Timing) -> str:
    return (
        f"servers and load on the same cores; {timing.lines} lines a sale; medians of {timing.rounds} alternating rounds; "
        "after every round the stock was what had been posted."
    )


def _costs(found: Mapping[str, Found]) -> Table:
    """A row a process and a column a case: the names of the cases are the longer ones."""
    costs = {case: each.cpu_us_per_sale for case, each in found.items()}
    table = Table(title="CPU µs per sale, by process", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for case in costs:
        table.add_column(case.replace("_", "\n"), justify="right")
    for name in dict.fromkeys(name for each in costs.values() for name in each if name != "total"):
        table.add_row(name, *(f"{each[name]:,.0f}" if name in each else "" for each in costs.values()))
    table.add_row("total", *(f"{each['total']:,.0f}" for each in costs.values()), style="bold")
    return table


def _machine_told(facts: Mapping[str, Any]) -> str:
    machine = facts["machine"]
    return f"{facts['date'][:10]}, {machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']:g} GB"


async def facts_about(system: System) -> dict[str, Any]:
    """When, on which machine and with which versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            **await _servers(system),
        },
    }


def machine() -> dict[str, Any]:
    """Cores that this process may use, the model of the processor, the memory, and how busy it is."""
    cpu = next((line.partition(":")[2].strip() for line in _lines("cpuinfo") if line.startswith("model name")), platform.machine())
    memory_kb = next((int(line.split()[1]) for line in _lines("meminfo") if line.startswith("MemTotal:")), 0)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu,
        "memory_gb": round(memory_kb / 1024**2, 1),
        "load_before": round(os.getloadavg()[0], 1),
    }


def _lines(name: str) -> list[str]:
    try:
        return (PROC / name).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


async def _servers(system: System) -> dict[str, str]:
    with psycopg.connect(system.targets[PIPELINE].database_url or "") as database:
        row = database.execute("SHOW server_version").fetchone()
    broker = await connect(system.amqp_url, name="bench-version")
    try:
        properties = _properties(broker)
    finally:
        await close(broker)
    async with Redis.from_url(system.redis_url) as redis:
        told = await redis.info("server")
    return {"postgresql": str(row[0]) if row else "", "rabbitmq": properties, "redis": str(told["redis_version"])}


def _properties(broker: aio_pika.abc.AbstractConnection) -> str:
    raw = broker.transport.connection.server_properties.get("version") if broker.transport else None
    return raw.decode() if isinstance(raw, bytes) else str(raw or "")


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)
