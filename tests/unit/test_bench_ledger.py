"""The benchmark's people, windows and arithmetic."""

import pytest

from veilstream.bench.ledger.ground import _spread
from veilstream.bench.ledger.options import EIGHT, ONE, Options, price
from veilstream.bench.ledger.population import bucket, packed, parts, tokens, windows
from veilstream.bench.ledger.runs import quantiles, summary
from veilstream.ledger.manifest import people as checked
from veilstream.ledger.state import bucket_of


def test_people_are_different_and_the_ledger_takes_their_tokens() -> None:
    found = tokens(1000, seed=1)
    assert found == tokens(1000, seed=1)
    assert found != tokens(1000, seed=2)
    assert checked(found).packed == b"".join(sorted(packed(token) for token in found))


def test_the_peer_spreads_people_as_the_ledger_does() -> None:
    for token in tokens(200, seed=3):
        raw = packed(token)
        assert [bucket(raw, n) for n in (1, 8, 8192, 65536)] == [
            bucket_of(raw, n) for n in (1, 8, 8192, 65536)
        ]


def test_windows_are_of_different_people_and_drawn_anew() -> None:
    everybody = tokens(300, seed=1)
    made = windows(everybody, 50, 20, "a")
    assert all(len(set(window)) == 50 for window in made)
    assert len({frozenset(window) for window in made}) == 20
    assert made == windows(everybody, 50, 20, "a") != windows(everybody, 50, 20, "b")
    with pytest.raises(ValueError, match="larger than population"):
        windows(everybody, 301, 1, "a")


@pytest.mark.parametrize("of", [1, 3, 7])
def test_everybody_is_in_one_part_once(of: int) -> None:
    everybody = tokens(1010, seed=1)
    found = [token for part in range(of) for window in parts(everybody, 100, part, of) for token in window]
    assert sorted(found) == sorted(everybody)


def test_models_are_spread_over_processes_each_once() -> None:
    assert _spread(5, 2) == (("m0", "m1"), ("m2", "m3", "m4"))
    assert [len(names) for names in _spread(8, 3)] == [2, 3, 3]


def test_a_run_lasts_until_its_last_acknowledgement() -> None:
    made = summary([(10.0, 10.1, 10.5, 100), (10.2, 10.4, 12.0, 300)], start=10.0, cpu_s={"store": 0.5})
    assert (made.people, made.windows, made.seconds) == (400, 2, 2.0)
    assert made.per_s == 200.0
    assert made.cpu_ms_per_window == {"store": 250.0}
    told = quantiles(made)
    assert told["reservation_p50_ms"] == pytest.approx(100.0)
    assert told["reservation_p99_ms"] == pytest.approx(200.0)
    assert told["acknowledged_p99_ms"] == pytest.approx(1800.0)


def test_a_run_without_windows_has_no_rate() -> None:
    assert summary([], start=1.0, cpu_s={}, refused="too many").per_s == 0.0


def test_what_is_charged_costs_what_a_window_costs() -> None:
    assert price(ONE).charges[0] == price(EIGHT).charges[EIGHT.index(ONE[0])]
    assert all(10**6 < units < 10**8 for units in price(EIGHT).charges)


def test_quick_is_never_more() -> None:
    small = Options(people=100, window=10, seconds=0.1, repeat=1, concurrency=1)
    assert small.quick().people == 100
    assert Options().quick().people < Options().people
