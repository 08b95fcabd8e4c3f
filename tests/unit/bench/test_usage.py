"""Processor time and memory of processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.usage import Usage, Wanted, per_sale, usages, wanted

BUSY = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_a_busy_process_has_used_its_time_and_holds_memory() -> None:
    before = usages({"me": os.getpid()})["me"]
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = usages({"me": os.getpid()})["me"]
    assert 0.1 <= after.cpu_seconds - before.cpu_seconds <= 1.0
    assert after.rss_mb > 5


def test_children_count_whether_they_live_or_have_ended() -> None:
    before = usages({"me": os.getpid()})["me"].cpu_seconds
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert usages({"me": os.getpid()})["me"].cpu_seconds - before >= 0.25
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        alone, family = usages({"child": child.pid})["child"], usages({"me": os.getpid()})["me"]
        assert family.rss_mb > alone.rss_mb > 0
        child.communicate(b"\n")


def test_a_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert usages({"gone": child.pid}) == {"gone": Usage(0.0, 0.0)}


def test_time_is_told_per_sale_in_microseconds() -> None:
    assert per_sale({"api": Usage(1.0, 50), "gone": Usage(1.0, 9)}, {"api": Usage(1.5, 60)}, 1_000) == {"api": 500.0}


def test_what_the_host_took_is_a_part_of_what_was_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.usage.PROC", tmp_path)
    #                                       user nice system idle iowait irq softirq steal guest guest_nice
    (tmp_path / "stat").write_text("cpu  100 10 50 9000 30 1 4 35 20 5\ncpu0 1 2 3\n", encoding="ascii")
    assert wanted() == Wanted(200, 35)
    assert Wanted(300, 50).stolen_since(Wanted(200, 35)) == 15
    assert wanted().stolen_since(wanted()) == 0
