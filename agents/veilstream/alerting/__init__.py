"""Alerts before a privacy budget runs dry.

What it is for: the consumer of `budget.events` and `operator.signals`. It compares the public odometer of
each budget, and what operators may know, with rules, and tells people on the topic `budget.alerts` and by
sinks.

* `ruleset`, `ruleparse`, `default_rules.toml`: rules as values, from TOML. `docs/alerts.md` explains them.
* `rules`, `conditions`, `signals`, `wording`: a budget event, a tick or a signal, and a state, in; alerts
  out. Pure: no clock, no client; days replay in a second.
* `state`, `history`, `projection`, `persistent`: what is remembered, immutable; made anew from the topics
  at each start.
* `run`, `intake`, `loading`, `writing`: the role. Kafka, signals and health live here and in `delivery`.
* `delivery`, `silences`, `sinks`: who is told, behind `veilstream.contracts.AlertSink`.

What it guarantees:

* At least once: an alert is acknowledged by the broker on its topic before the offset of its event is
  committed. One alert for each fingerprint: neither a repeated event nor a restart fires it again.
* `budget.alerts` says nothing that is not public: those alerts are functions of public budget events, so
  they may be shown to anyone (they lie outside the boundary of the guarantee, `docs/guarantee.md`). What
  comes from operator signals goes to `operator.signals`, and to sinks that are marked for operators.
* A dead sink delays neither the topic nor the other sinks, and loses nothing.

What it does not: it enforces nothing. The ledger refuses charges, whether or not anyone listens. A budget's
pace says what was spent, not what will be: a projection is a guess with a spread.
"""

from veilstream.alerting.run import run_alerting

__all__ = ["run_alerting"]
