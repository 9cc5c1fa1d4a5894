"""A law of contributions: what is kept of a person is a function of that person's own records.

Other people's records may come and go, in any order and between them: nobody's row changes. Nor does the
order in which a person's own records come.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from veilstream.worker.contributions import Contributions
from veilstream.worker.tasks import Example

KEY = b"\x01" * 32

found = st.lists(
    st.builds(Example, text=st.text(max_size=5), label=st.integers(0, 3), is_call=st.booleans()), max_size=4
)
record = st.tuples(st.sampled_from("abc"), st.text("01", max_size=4), found)
Record = tuple[str, str, list[Example]]


def rows(k: int, records: list[Record]) -> dict[str, list[Example]]:
    people = Contributions(k, KEY)
    for person, identity, own in records:
        people.add(person, identity, own)
    return {person: people.of(person) for person in people.people()}


@given(k=st.integers(1, 5), records=st.lists(record, max_size=12), data=st.data())
def test_other_people_change_nothing(k: int, records: list[Record], data: st.DataObject) -> None:
    everyone = rows(k, records)
    for person in everyone:
        own = [entry for entry in records if entry[0] == person]
        assert rows(k, own) == {person: everyone[person]}
        assert rows(k, [entry for entry in records if entry[0] != person]) == {
            other: row for other, row in everyone.items() if other != person
        }
    assert rows(k, data.draw(st.permutations(records))) == everyone


@given(k=st.integers(1, 5), records=st.lists(record, max_size=12))
def test_at_most_k_and_only_ones_own(k: int, records: list[Record]) -> None:
    for person, row in rows(k, records).items():
        own = [example for entry in records if entry[0] == person for example in entry[2]]
        assert len(row) == min(k, len(own))
        assert all(example in own for example in row)
