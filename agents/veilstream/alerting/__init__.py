"""Alerts before a privacy budget runs dry.

What it is for: the consumer of `budget.events`. It compares the public odometer of each budget with the
thresholds of the settings and tells people, on the topic `budget.alerts`, on the console and by webhook.

* `state`: what has fired and what is open; made anew from the compacted topic `budget.alerts` at each start.
* `rules`: a budget event and a state in, alerts out. Pure: no clock, no client.
* `sinks`: where alerts go, behind `veilstream.contracts.AlertSink`.
* `run`: the role. Kafka, signals and health live here and nowhere else.

What it guarantees:

* At least once: an alert is acknowledged by the broker on `budget.alerts` before the offset of its event is
  committed. One alert for each fingerprint: neither a repeated event nor a restart fires it again.
* It says nothing that is not public: alerts are functions of public budget events, so they may be shown to
  anyone (they lie outside the boundary of the guarantee, `docs/guarantee.md`).
* A dead console or webhook delays neither the topic nor the other sinks.

What it does not: deliver to a webhook across its own death. Deliveries that wait for a webhook live in
memory; after a kill the topic has the alert, the webhook may not. It enforces nothing either: the ledger
refuses charges, whether or not anyone listens.
"""

from veilstream.alerting.run import run_alerting

__all__ = ["run_alerting"]
