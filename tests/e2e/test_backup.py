"""Is what was recorded at the instant of a backup there again after a disaster, and does everything go on from there?"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from infra.connection import brief_channel
from infra.database import engine_for
from infra.event_log import event_log
from infra.settings import Settings
from infra.topology import PROJECTOR
from magasin.backup import DUMP, KEY, Made, back_up, plain
from magasin.manifest import NAME, BackupError, Manifest
from magasin.restore import Proof, put_back
from magasin.servers import AMQP_URL, DATABASE_URL, REDIS_URL
from operations.verify import verify
from schemas.envelope import Accepted
from tests.pipeline import pipeline
from tests.telling import SHOP, delivered, keep, kept_levels, levels_of, log_of, open_shops, sale, told
from workers import projector

OPENED = delivered(("apple", 100), ("pear", 50))


def addresses(settings: Settings) -> Mapping[str, str]:
    return {DATABASE_URL: settings.database_url, AMQP_URL: settings.amqp_url, REDIS_URL: settings.redis_url}


def backed_up(settings: Settings, folder: Path, *, keep: int = 7) -> Made:
    return back_up(addresses(settings), settings, folder, keep=keep, patience_seconds=20)


def restored(made: Made, settings: Settings, *, force: bool = False) -> Proof:
    return put_back(made.folder, addresses(settings), settings, force=force)


def destroyed(settings: Settings) -> None:
    url = make_url(plain(settings.database_url))
    elsewhere = url.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(elsewhere, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(url.database or "")))


def ids(*events: Accepted) -> list[UUID]:
    return [event.event_id for event in events]


@pytest.fixture
def shop(settings_for_test: Settings) -> Settings:
    """A shop with a delivery and no broker's topology yet."""
    engine = engine_for(settings_for_test, name="test")
    open_shops(engine, SHOP)
    keep(engine, told(OPENED))
    engine.dispose()
    return settings_for_test


async def test_after_a_disaster_stock_is_that_of_the_backup_and_shops_go_on(settings_for_test: Settings, tmp_path: Path) -> None:
    engine = engine_for(settings_for_test, name="test")
    open_shops(engine, SHOP)
    before, lost, later = told(OPENED), told(sale(("apple", 3))), told(sale(("pear", 4)))
    async with pipeline(settings_for_test.amqp_url, engine) as pipe:
        async with pipe.sound():
            await pipe.tell([before])
            await pipe.until_recorded(ids(before))
            await pipe.until_projected({SHOP: len(log_of(engine))})
        then = kept_levels(engine)
        made = await asyncio.to_thread(backed_up, settings_for_test, tmp_path / "backups")
        # What the log loses now still waits for the projector, who must never see it.
        async with pipe.sound(without=projector.NAME):
            await pipe.tell([lost])
            await pipe.until_recorded(ids(lost))
        assert kept_levels(engine) != then
        engine.dispose()
        destroyed(settings_for_test)
        proof = await asyncio.to_thread(restored, made, settings_for_test)
        assert proof.right, proof.told()
        assert not proof.left
        assert kept_levels(engine) == then
        async with brief_channel(settings_for_test.amqp_url, name="test") as channel:
            waiting = await channel.declare_queue(PROJECTOR.name, passive=True)
            assert waiting.declaration_result.message_count == 0
        async with pipe.sound():
            # A till that has kept its sale sends it again.
            await pipe.tell([lost, later])
            await pipe.until_recorded(ids(lost, later))
            await pipe.until_projected({SHOP: len(log_of(engine))})
    assert levels_of(engine) == {"apple": 97, "pear": 46}
    assert verify(engine, SHOP, lambda: None).count == 0
    engine.dispose()


def test_a_backup_says_what_it_holds(shop: Settings, tmp_path: Path) -> None:
    made = backed_up(shop, tmp_path / "backups")
    manifest = Manifest.of(made.folder)
    assert manifest == made.manifest
    assert manifest.figures.on_hand == 150
    assert manifest.figures.rows[f"public.{event_log.name}"] == manifest.figures.events
    assert manifest.figures.heads[SHOP] >= 1
    assert manifest.waiting is None, "there is no queue yet"
    assert {each.stat().st_mode & 0o077 for each in (made.folder, made.folder / DUMP, made.folder / NAME)} == {0}


async def test_what_waits_to_be_recorded_is_told_and_left_to_the_broker(shop: Settings, tmp_path: Path) -> None:
    engine = engine_for(shop, name="test")
    async with pipeline(shop.amqp_url, engine) as pipe:
        await pipe.tell([told(sale(("apple", 1)))])
        made = await asyncio.to_thread(back_up, addresses(shop), shop, tmp_path / "backups", keep=7, patience_seconds=0)
    assert made.manifest.waiting == 1
    assert "1 messages still wait" in made.told()
    engine.dispose()


def test_only_the_newest_stay(shop: Settings, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    made = [backed_up(shop, backups, keep=2).folder for _ in range(3)]
    assert sorted(backups.iterdir()) == made[1:]


def test_what_is_recorded_is_replaced_only_when_told_and_while_nobody_works_there(shop: Settings, tmp_path: Path) -> None:
    made = backed_up(shop, tmp_path / "backups")
    engine = engine_for(shop, name="stock-writer")
    with pytest.raises(BackupError, match="--force"):
        restored(made, shop)
    keep(engine, told(sale(("apple", 5))))
    with pytest.raises(BackupError, match="magasin-stock-writer"):
        restored(made, shop, force=True)
    assert levels_of(engine)["apple"] == 95
    engine.dispose()
    proof = restored(made, shop, force=True)
    assert proof.right
    assert levels_of(engine)["apple"] == 100
    engine.dispose()
    assert databases(shop) == [make_url(shop.database_url).database], "nothing is left beside it"


def databases(settings: Settings) -> list[str]:
    url = make_url(plain(settings.database_url))
    with psycopg.connect(url.render_as_string(hide_password=False)) as server:
        found = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [url.database])
        return [name for (name,) in found]


def test_a_damaged_backup_is_refused(shop: Settings, tmp_path: Path) -> None:
    made = backed_up(shop, tmp_path / "backups")
    dump = made.folder / DUMP
    content = bytearray(dump.read_bytes())
    content[-1] ^= 1
    dump.write_bytes(content)
    with pytest.raises(BackupError, match="digest"):
        restored(made, shop, force=True)
    (made.folder / NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(BackupError, match="no backup"):
        restored(made, shop, force=True)


def test_figures_that_differ_from_the_log_are_named(shop: Settings, tmp_path: Path) -> None:
    with psycopg.connect(plain(shop.database_url)) as connection:
        connection.execute("UPDATE stock_level SET on_hand = on_hand + 1 WHERE sku = 'apple'")
    made = backed_up(shop, tmp_path / "backups")
    proof = restored(made, shop, force=True)
    assert not proof.right
    assert "stock_level" in proof.told()


def test_the_signing_key_comes_along_unless_there_is_one(shop: Settings, tmp_path: Path) -> None:
    key = shop.home / "keys" / KEY
    key.parent.mkdir(parents=True)
    key.write_text("the first one", encoding="ascii")
    made = backed_up(shop, tmp_path / "backups")
    key.unlink()
    restored(made, shop, force=True)
    assert key.read_text(encoding="ascii") == "the first one"
    key.write_text("another one", encoding="ascii")
    restored(made, shop, force=True)
    assert key.read_text(encoding="ascii") == "another one"
