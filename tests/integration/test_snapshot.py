"""Two halves of an answer, on two connections, of one moment."""

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from infra.database import engine_for
from infra.settings import Settings
from projections.snapshot import SNAPSHOT, beside

COUNT = text("SELECT count(*) FROM moment")
BACKEND = text("SELECT pg_backend_pid()")


@pytest.fixture
def pool(engine: Engine) -> Engine:
    """A process's connections, and a table with one row."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE moment AS SELECT 1 AS row"))
    return engine


def count(connection: Connection) -> int:
    return int(connection.execute(COUNT).scalar_one())


def backend(connection: Connection) -> int:
    return int(connection.execute(BACKEND).scalar_one())


def one_more(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO moment VALUES (2)"))


def test_both_see_the_moment_in_which_the_answer_began(pool: Engine) -> None:
    with pool.connect() as connection:
        connection.execute(SNAPSHOT)
        assert count(connection) == 1
        one_more(pool)
        with beside(connection, lambda other: (count(other), backend(other))) as found:
            rows, other = found()
        assert (rows, count(connection)) == (1, 1)
        assert other != backend(connection)
    with pool.connect() as connection:
        assert count(connection) == 2


def test_the_settings_are_those_of_the_snapshot_and_end_with_it(pool: Engine) -> None:
    shown = text("SELECT concat_ws(' ', current_setting('jit'), current_setting('work_mem'), current_setting('transaction_isolation'))")
    with pool.connect() as connection:
        connection.execute(SNAPSHOT)
        with beside(connection, lambda other: other.execute(shown).scalar_one()) as found:
            assert found() == connection.execute(shown).scalar_one() == "off 64MB repeatable read"
        connection.rollback()
        assert "64MB" not in connection.execute(shown).scalar_one()


def test_while_another_one_is_asked_so_it_is_asked_on_its_own_connection(pool: Engine) -> None:
    with pool.connect() as connection, pool.connect() as later:
        for each in (connection, later):
            each.execute(SNAPSHOT)
        with beside(connection, backend) as first, beside(later, backend) as second:
            assert first() != backend(connection)
            assert second() == backend(later)


def test_with_few_connections_nobody_waits_for_a_second_one(settings_for_test: Settings) -> None:
    engine = engine_for(settings_for_test.model_copy(update={"database_pool_size": 3}), name="test")
    with engine.connect() as connection:
        connection.execute(SNAPSHOT)
        with beside(connection, backend) as found:
            assert found() == backend(connection)
    engine.dispose()


@pytest.mark.parametrize("wanted", [True, False])
def test_what_fails_there_fails_here_and_the_next_one_is_served(pool: Engine, *, wanted: bool) -> None:
    def failing(other: Connection) -> None:
        other.execute(text("SELECT nothing FROM nowhere"))

    with pool.connect() as connection:
        connection.execute(SNAPSHOT)
        if wanted:
            with pytest.raises(ProgrammingError, match="nowhere"), beside(connection, failing) as found:
                found()
        else:
            with pytest.raises(LookupError), beside(connection, failing):
                raise LookupError
        with beside(connection, backend) as next_one:
            assert next_one() != backend(connection)
