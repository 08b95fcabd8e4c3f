"""Does an order reach the one who carries it out, once, and does whoever gave it hear how it ended?"""

from pathlib import Path
from threading import Thread

import pytest

from magasin.gateway.orders import ENDED, ORDER, NotDeployed, Order, carried_out, forget, give, next_order
from magasin.gateway.plan import BadPlan
from magasin.home import write_private


def test_an_order_is_carried_out_once_and_its_end_is_heard(tmp_path: Path) -> None:
    order = Order(services={"sales": "2 hash"})
    giving = Thread(target=give, args=(tmp_path, order))
    giving.start()
    while (found := next_order(tmp_path)) is None:
        giving.join(0.01)
    assert found == order
    assert found.plan().pools["sales"].instances == 2
    carried_out(tmp_path, found, None)
    giving.join(10)
    assert not giving.is_alive()
    assert next_order(tmp_path) is None


def test_an_order_that_failed_says_why(tmp_path: Path) -> None:
    order = Order(services={})
    carried_out(tmp_path, order, "sales-2 is not ready")
    with pytest.raises(NotDeployed, match="sales-2"):
        give(tmp_path, order)


def test_an_order_that_makes_no_plan_is_not_even_left(tmp_path: Path) -> None:
    with pytest.raises(BadPlan):
        give(tmp_path, Order(services={"sales": "99 rr"}))
    assert not (tmp_path / ORDER).exists()


def test_nobody_there_is_told_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magasin.gateway.orders.WAIT_SECONDS", 0.3)
    with pytest.raises(NotDeployed, match="nothing was heard"):
        give(tmp_path, Order(services={}))


def test_what_an_earlier_run_was_told_is_forgotten_and_what_cannot_be_read_is_no_order(tmp_path: Path) -> None:
    write_private(tmp_path / ORDER, "{")
    assert next_order(tmp_path) is None
    write_private(tmp_path / ORDER, Order(services={}).model_dump_json())
    assert next_order(tmp_path) is not None
    forget(tmp_path)
    assert next_order(tmp_path) is None
    assert not (tmp_path / ENDED).exists()
