"""Does a worker show how it does, and obey, whatever becomes of its line to the database?"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from infra.pauses import Target
from infra.settings import Settings
from operations import consumers, pauses
from tests.brokers import until
from workers import pulse
from workers.pulse import Pulse, Sign

NAME = "projector"
PATIENCE_SECONDS = 15.0
AT = datetime(2026, 3, 14, 12, tzinfo=UTC)


@dataclass
class Errand:
    """Work that only notes what it was told."""

    told: list[str] = field(default_factory=list)

    async def hold(self) -> None:
        self.told.append("hold")

    async def release(self) -> None:
        self.told.append("release")

    async def catch_up(self) -> None:
        self.told.append("catch up")

    def sign(self, *, held: bool) -> Sign:
        return Sign("paused" if held else "running", not held, ("it broke \x00", AT), AT)


@asynccontextmanager
async def beating(engine: Engine, config: Settings, work: Errand) -> AsyncIterator[Pulse]:
    """A pulse for the length of a block, that says good-bye."""
    made = Pulse(engine, config, name=NAME, work=work, projects=True)
    made.start()
    try:
        yield made
        assert not made.ended
    finally:
        await made.stop()
        await made.farewell()


async def is_so(look: Callable[[], bool]) -> None:
    await until(look, PATIENCE_SECONDS)


def pause(engine: Engine) -> None:
    pauses.pause(engine, Target("consumer", NAME), by="operateur", reason="why")


def resume(engine: Engine) -> None:
    pauses.resume(engine, Target("consumer", NAME), by="operateur", reason="why")


def row(engine: Engine) -> dict[str, object]:
    with engine.connect() as connection:
        return dict(connection.execute(text("SELECT * FROM consumer ORDER BY seen_at DESC LIMIT 1")).mappings().one())


async def test_it_begins_works_waits_and_goes_on_as_told_and_shows_it(engine: Engine, settings_for_test: Settings) -> None:
    work = Errand()
    async with beating(engine, settings_for_test, work) as made:
        await asyncio.wait_for(made.informed.wait(), PATIENCE_SECONDS)
        assert work.told[0] == "release"
        shown = row(engine)
        assert (shown["name"], shown["last_error"], shown["last_error_at"], shown["oldest_at"]) == (NAME, "it broke �", AT, AT)
        await asyncio.to_thread(pause, engine)
        await is_so(lambda: "hold" in work.told)
        await is_so(lambda: row(engine)["state"] == "paused")
        await asyncio.to_thread(resume, engine)
        await is_so(lambda: work.told.count("release") == 2)
        await is_so(lambda: row(engine)["state"] == "running")
    assert row(engine)["state"] == "stopped"


async def test_one_that_starts_while_it_should_wait_never_begins(engine: Engine, settings_for_test: Settings) -> None:
    work = Errand()
    pause(engine)
    async with beating(engine, settings_for_test, work) as made:
        await asyncio.wait_for(made.informed.wait(), PATIENCE_SECONDS)
        assert made.held
    assert "release" not in work.told


async def test_when_its_line_is_cut_it_listens_again_and_looks_what_it_missed(engine: Engine, settings_for_test: Settings) -> None:
    work = Errand()
    async with beating(engine, settings_for_test, work) as made:
        await asyncio.wait_for(made.informed.wait(), PATIENCE_SECONDS)
        await is_so(lambda: "catch up" in work.told)
        before = work.told.count("catch up")
        with engine.begin() as connection:
            cut = text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
            )
            assert connection.execute(cut, {"name": f"magasin-{NAME}-notices"}).all() == [(True,)]
        await is_so(lambda: work.told.count("catch up") > before)
        await asyncio.to_thread(pause, engine)
        await is_so(lambda: "hold" in work.told)


@pytest.mark.parametrize("error", [OperationalError("SELECT", {}, Exception()), ValueError("a bug")])
async def test_a_beat_that_fails_is_missed_and_the_next_one_counts(
    engine: Engine, settings_for_test: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    beats, work, beat = [0], Errand(), consumers.beat

    def failing(connection: object, shown: consumers.Pulse) -> None:
        beats[0] += 1
        if beats[0] <= 2:
            raise error
        beat(connection, shown)  # type: ignore[arg-type]

    monkeypatch.setattr(consumers, "beat", failing)
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.05)
    async with beating(engine, settings_for_test, work) as made:
        await asyncio.wait_for(made.informed.wait(), PATIENCE_SECONDS)
    assert beats[0] > 2
    assert row(engine)["state"] == "stopped"


async def test_a_store_that_slipped_in_beside_a_pause_is_caught_by_the_next_beat(
    engine: Engine, settings_for_test: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.05)
    pauses.pause(engine, Target("projection", "daily-sales"), by="operateur", reason="why")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO checkpoint VALUES ('daily-sales', 0, 'new', 0, 'live', NULL, NULL, now())"))

    def state() -> str:
        with engine.connect() as connection:
            return str(connection.scalar(text("SELECT state FROM checkpoint WHERE store_id = 'new'")))

    async with beating(engine, settings_for_test, Errand()):
        await is_so(lambda: state() == "paused")
