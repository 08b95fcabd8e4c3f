"""Does the topology keep what the traps of queues taught?"""

from infra.topology import DEAD, EXCHANGES, QUEUES, definitions


def test_every_queue_that_holds_facts_is_a_quorum_queue_the_only_kind_on_disk_before_the_confirm() -> None:
    assert all(spec.arguments["x-queue-type"] == ("classic" if spec.only_wakes else "quorum") for spec in QUEUES)


def test_every_quorum_queue_has_an_explicit_delivery_limit_because_the_default_changed_from_none_to_twenty() -> None:
    assert all(int(spec.arguments["x-delivery-limit"]) >= 100 for spec in QUEUES if not spec.only_wakes)


def test_every_queue_but_the_last_net_has_a_way_out_that_loses_nothing() -> None:
    for spec in QUEUES:
        if spec.exchange == DEAD or spec.only_wakes:
            assert "x-dead-letter-exchange" not in spec.arguments
        else:
            assert spec.arguments["x-dead-letter-exchange"] == DEAD
            assert spec.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert spec.arguments["x-overflow"] == "reject-publish"
            assert spec.arguments["x-dead-letter-routing-key"] == spec.name


def test_a_queue_that_only_wakes_stays_small_and_refuses_nobody() -> None:
    (spec,) = (each for each in QUEUES if each.only_wakes)
    assert spec.name == "outbound"
    assert spec.arguments["x-overflow"] == "drop-head"
    assert int(spec.arguments["x-max-length"]) <= 1_000


def test_no_exchange_hashes_because_its_map_may_change_with_a_restart() -> None:
    assert {kind.value for kind in EXCHANGES.values()} == {"topic", "fanout"}


def test_definitions_name_every_exchange_queue_and_binding_and_nothing_transient() -> None:
    made = definitions("shop")
    exchanges, queues, bindings = made["exchanges"], made["queues"], made["bindings"]
    assert isinstance(exchanges, list)
    assert isinstance(queues, list)
    assert isinstance(bindings, list)
    assert {exchange["name"] for exchange in exchanges} == set(EXCHANGES)
    # Whoever wants to be woken binds its queue itself.
    assert [spec.name for spec in QUEUES if not spec.only_wakes] == [binding["destination"] for binding in bindings]
    assert {queue["name"] for queue in queues} == {spec.name for spec in QUEUES}
    assert all(thing["durable"] for thing in exchanges + queues)
    assert {thing["vhost"] for thing in exchanges + queues + bindings} == {"shop"}
