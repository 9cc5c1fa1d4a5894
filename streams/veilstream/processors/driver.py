"""Faust's Kafka driver, with three things changed.

* The producer is idempotent where the broker can, and waits for every in-sync replica. Without idempotence a
  retry can put a record behind a later one, and a reader that drops what is not above the last applied offset
  would then drop the record itself.
* No offset is committed beyond what was delivered. Faust acknowledges more than its agents do: an event
  skipped after a rebalance (in its pure Python stream), and whatever the stream still drains when
  `noack_take` has ended. `Delivered` says how far each partition is; a commit is cut to that.
* It makes no folders: there are no tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import faust
from faust.transport.drivers import aiokafka as faust_aiokafka
from faust.types.tuples import TP

from veilstream.settings import KafkaSettings, kafka_options

__all__ = ["App", "Delivered", "credentials"]


class Delivered:
    """The offset after the last delivered record of each partition that this process holds."""

    def __init__(self) -> None:
        self._next: dict[TP, int] = {}

    def advance(self, partition: TP, offset: int) -> None:
        self._next[partition] = max(self._next.get(partition, 0), offset + 1)

    def next(self, partition: TP) -> int | None:
        return self._next.get(partition)

    def keep(self, partitions: Iterable[TP]) -> None:
        """Forget what went to others: what comes back is read from its committed offset."""
        kept = set(partitions)
        self._next = {tp: offset for tp, offset in self._next.items() if tp in kept}

    def cut(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        """Offsets to commit, none beyond what was delivered."""
        return {tp: min(offset, self._next[tp]) for tp, offset in offsets.items() if tp in self._next}


class _Consumer(faust_aiokafka.Consumer):
    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        found = super()._filter_committable_offsets(tps)
        cut: dict[TP, int] = self.app.delivered.cut(found)
        return {tp: offset for tp, offset in cut.items() if self._should_commit(tp, offset)}


class _Producer(faust_aiokafka.Producer):
    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": self.app.kafka.idempotence}


class _Transport(faust_aiokafka.Transport):
    Consumer = _Consumer
    Producer = _Producer


class App(faust.App):
    """A Faust app over that driver. Its own attributes: `kafka`, `delivered`."""

    kafka: KafkaSettings
    delivered: Delivered

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return _Transport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        pass


def credentials(kafka: KafkaSettings) -> Any:
    """Faust's form of the TLS and SASL settings; None for a plain connection."""
    options = kafka_options(kafka)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return faust.SSLCredentials(context) if context is not None else None
