"""What the outputs owe to the raw topic, and whether they paid. Pure: values in, counts out.

Truth is what the raw topic held, read in full by a reader of ours, not what a producer believes: a send whose
answer was lost is sent again by the harness and may be there twice, and both are owed an output. A place is
(incarnation of the raw topic, partition, offset).

Two readers are played over the outputs, in the order of each output partition:

* the plain one drops nothing: what it sees twice is a *duplicated record*;
* the one with effects goes by the position rule: per output partition, incarnation and source partition it
  drops what is not above the last applied offset. What it applies twice is a *duplicated effect*; what it
  never applies, though the raw topic held it, is *lost*, also where an output is there and the rule drops it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field

__all__ = ["Output", "Place", "Raw", "Verdict", "judge"]

Place = tuple[str, int, int]
PROTECTED = "interactions.protected"
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Raw:
    """A record of the raw topic. `person` and `seq` are the load's numbers; poison has none."""

    place: Place
    person: int | None
    seq: int | None
    poison: bool


@dataclass(frozen=True, slots=True)
class Output:
    """A record of the protected or the quarantine topic, as a plain reader got it."""

    topic: str
    partition: int
    offset: int
    place: Place
    person: int | None
    seq: int | None
    policy: str


@dataclass(slots=True)
class Verdict:
    """Counts, all of which but the first two should be 0."""

    records: int = 0
    poison: int = 0
    lost: int = 0
    duplicated_records: int = 0
    duplicated_effects: int = 0
    reordered: int = 0
    quarantined_wrongly: int = 0
    protected_wrongly: int = 0
    """Poison that was taken for a good record."""
    misplaced: int = 0
    """Outputs whose place names another record, or none that was ever there."""
    duplicated_by_older_setting: int = 0
    """Seen twice where a copy is from a processor of the older setting: an upgrade in the middle."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Some places for each count: incarnation's first digits, partition, offset. No content."""

    def figures(self) -> dict[str, object]:
        return asdict(self)

    @property
    def holds(self) -> bool:
        return not (
            self.lost
            or self.duplicated_effects
            or self.reordered
            or self.quarantined_wrongly
            or self.protected_wrongly
            or self.misplaced
        )


def judge(
    raw: Iterable[Raw],
    outputs: Iterable[Output],
    *,
    acknowledged: Collection[Place] = (),
    optional: Collection[Place] = (),
    incarnations: Sequence[str],
    exactly_once: bool,
    policy: str = "",
) -> Verdict:
    """Compare.

    Args:
        raw: everything that the raw topic held, all incarnations.
        outputs: all of both output topics; within one partition of a topic in the order of its offsets.
        acknowledged: places that a producer got an acknowledgement for. One that the raw topic does not
            hold is lost.
        optional: places that went with a deleted topic before a processor was seen to have had them: an
            output may be there or not.
        incarnations: ids of the raw topic, oldest first.
        exactly_once: judge order over all that the plain reader saw; otherwise over what was applied.
        policy: version of the present policy; outputs of another are from an older processor. Empty: all
            are of the present one.
    """
    truth = {record.place: record for record in raw}
    verdict = Verdict(records=len(truth), poison=sum(record.poison for record in truth.values()))
    age = {incarnation: number for number, incarnation in enumerate(incarnations)}
    applied_to: dict[tuple[str, int, str, int], int] = {}
    applied: Counter[Place] = Counter()
    seen: Counter[Place] = Counter()
    old: Counter[Place] = Counter()
    effects: list[Output] = []
    plain: list[Output] = []
    for output in outputs:
        place = output.place
        seen[place] += 1
        old[place] += bool(policy) and output.policy != policy
        plain.append(output)
        rule = (output.topic, output.partition, place[0], place[1])
        if place[2] > applied_to.get(rule, -1):
            applied_to[rule] = place[2]
            applied[place] += 1
            effects.append(output)
        _look(verdict, output, truth)
    for place in truth:
        if not applied[place] and place not in optional:
            _count(verdict, "lost", place)
    for place in acknowledged:
        if place not in truth and not seen[place]:
            _count(verdict, "lost", place)
    for place, times in seen.items():
        if times > 1:
            _count(
                verdict,
                "duplicated_by_older_setting" if old[place] else "duplicated_records",
                place,
                times - 1,
            )
    for place, times in applied.items():
        if times > 1:
            _count(verdict, "duplicated_effects", place, times - 1)
    excused = {place for place, times in seen.items() if times > 1 and old[place]}
    ordered = [output for output in plain if output.place not in excused] if exactly_once else effects
    _order(verdict, ordered, age)
    return verdict


def _look(verdict: Verdict, output: Output, truth: dict[Place, Raw]) -> None:
    record = truth.get(output.place)
    if record is None:
        _count(verdict, "misplaced", output.place)
    elif output.topic != PROTECTED:
        if not record.poison:
            _count(verdict, "quarantined_wrongly", output.place)
    elif record.poison:
        _count(verdict, "protected_wrongly", output.place)
    elif (record.person, record.seq) != (output.person, output.seq):
        _count(verdict, "misplaced", output.place)


def _order(verdict: Verdict, outputs: Iterable[Output], age: dict[str, int]) -> None:
    """A person's records are in one raw partition and in one protected partition: their places must rise."""
    last: dict[tuple[int, int], tuple[int, int]] = {}
    for output in outputs:
        if output.topic != PROTECTED or output.person is None:
            continue
        now = (age.get(output.place[0], -1), output.place[2])
        who = (output.person, output.partition)
        if now < last.get(who, (-1, -1)):
            _count(verdict, "reordered", output.place)
        last[who] = max(now, last.get(who, now))


def _count(verdict: Verdict, what: str, place: Place, times: int = 1) -> None:
    setattr(verdict, what, getattr(verdict, what) + times)
    examples = verdict.examples.setdefault(what, [])
    if len(examples) < _EXAMPLES:
        examples.append(f"{place[0][:8]}/{place[1]}/{place[2]}")
