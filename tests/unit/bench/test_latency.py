"""The time from the planned instant into the reports."""

from time import perf_counter

from bench.latency import Latencies


def test_a_sale_is_visible_when_the_reports_have_come_to_its_number_in_either_order_of_hearing() -> None:
    latencies = Latencies(1_000, 3)
    latencies.begin()
    latencies.was_recorded(0, "a", 11)
    latencies.was_recorded(1, "a", 10)
    latencies.was_projected("a", 10)
    assert latencies.all_visible(1)
    assert not latencies.all_visible(2)
    latencies.was_projected("b", 5)
    latencies.was_recorded(2, "b", 4)
    latencies.was_projected("a", 12)
    assert latencies.all_visible(3)


def test_the_clock_runs_from_the_planned_instant() -> None:
    latencies = Latencies(100, 20)
    latencies.began = perf_counter() - 0.2
    for number in range(20):
        latencies.was_accepted(number)
    # The sale planned 200 ms ago took 200 ms, the last one, planned 10 ms ago, 10 ms; the first ten are left out.
    found = latencies.accepted_after(10)
    assert 50 <= found.p50_ms <= 150
    assert 90 <= found.p99_ms <= 200
