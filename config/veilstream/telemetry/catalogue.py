"""Every metric and log event that veilstream can emit. `docs/telemetry.md` is checked against it.

`audience` follows the boundary of the guarantee: **public** metrics are functions of public parameters;
**operator** metrics (exact counts, losses, denials, lag) stay inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EVENTS", "METRICS", "Event", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; the name gets the prefix `veilstream_`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    audience: Literal["public", "operator"]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A log event and the fields that it may carry."""

    name: str
    help: str
    fields: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("records_processed", "counter", "Records that left the processor.", "operator", ("outcome",)),
        Metric(
            "record_errors", "counter", "Records sent to quarantine, by kind of error.", "operator", ("kind",)
        ),
        Metric("findings", "counter", "Personal data found, by kind.", "operator", ("kind",)),
        Metric("batch_seconds", "histogram", "Time from taking a batch to its acknowledgement.", "operator"),
        Metric(
            "lane_failures", "counter", "Partitions that were opened again, by error.", "operator", ("error",)
        ),
        Metric("commit_failures", "counter", "Offset commits that failed, by error.", "operator", ("error",)),
        Metric("consumer_lag", "gauge", "Records not yet processed.", "operator", ("topic", "partition")),
        Metric("ledger_charges", "counter", "Charges, by outcome.", "operator", ("budget", "outcome")),
        Metric(
            "ledger_outbox", "gauge", "Entries that the relay has not yet moved.", "operator", ("budget",)
        ),
        Metric("window_people", "gauge", "People in the last window, exact.", "operator", ("model",)),
        Metric(
            "window_records",
            "counter",
            "Records read for training, by outcome.",
            "operator",
            ("model", "outcome"),
        ),
        Metric("training_loss", "gauge", "Loss of the last step on private data.", "operator", ("model",)),
        Metric("training_seconds", "histogram", "Time to train a window.", "operator", ("model",)),
        Metric(
            "alert_delivery_failures", "counter", "Deliveries that a sink refused.", "operator", ("sink",)
        ),
        Metric(
            "alert_deliveries",
            "counter",
            "Alerts that a sink is done with: delivered, refused (never taken), silenced, inhibited, "
            "repeated, untold (resolved before it was told), resent, unreadable.",
            "operator",
            ("sink", "outcome"),
        ),
        Metric(
            "alert_delivery_waiting", "gauge", "Alerts that a sink has not yet taken.", "operator", ("sink",)
        ),
        Metric(
            "alert_delivery_held",
            "gauge",
            "Firing alerts that a sink is not told of, for a silence or an inhibition.",
            "operator",
            ("sink",),
        ),
        Metric(
            "alert_delivery_refused",
            "gauge",
            "Firing alerts that a sink will never take: nobody hears of them there.",
            "operator",
            ("sink",),
        ),
        Metric(
            "budget_events_skipped",
            "counter",
            "Budget events that alerting could not read, by kind of error.",
            "operator",
            ("kind",),
        ),
        Metric(
            "operator_signals_skipped",
            "counter",
            "Operator signals that alerting could not read, by kind of error.",
            "operator",
            ("kind",),
        ),
        Metric(
            "operator_alerts",
            "counter",
            "Alerts for operators, by rule and state.",
            "operator",
            ("rule", "state"),
        ),
        Metric("budget_epsilon", "gauge", "The budget's ε.", "public", ("budget",)),
        Metric("budget_epsilon_spent", "gauge", "ε of the public odometer.", "public", ("budget",)),
        Metric("budget_fraction", "gauge", "Share of the budget spent.", "public", ("budget",)),
        Metric("budget_events", "counter", "Budget events seen, by event.", "public", ("budget", "event")),
        Metric(
            "budget_burned",
            "counter",
            "Share of the budget that charges took, added up: raises, refreshes and corrections leave it.",
            "public",
            ("budget",),
        ),
        Metric(
            "budget_refresh_seconds",
            "gauge",
            "Length of the budget's period; absent where it is for a lifetime.",
            "public",
            ("budget",),
        ),
        Metric("budget_frozen", "gauge", "1 while nothing may be charged, else 0.", "public", ("budget",)),
        Metric("budget_info", "gauge", "1: whose budget.", "public", ("budget", "tenant", "parent", "mode")),
        Metric("releases", "counter", "Models released.", "public", ("model",)),
        Metric("alerts", "counter", "Alerts, by rule and state.", "public", ("rule", "state")),
    )
}

EVENTS: dict[str, Event] = {
    e.name: e
    for e in (
        Event("role_started", "A role is ready.", ("role", "port")),
        Event("role_stopped", "A role has stopped.", ("role", "reason")),
        Event("role_failed", "A role ended by an error.", ("role", "code", "error_type", "message")),
        Event("topics_ready", "The topic catalogue is in place.", ("created", "verified")),
        Event(
            "record_quarantined",
            "A record went to quarantine.",
            ("code", "kind", "path", "partition", "offset"),
        ),
        Event(
            "batch_failed",
            "A partition's batch could not be delivered and will be read again.",
            ("error_type", "partition", "records"),
        ),
        Event("partitions_assigned", "Partitions changed hands.", ("partitions",)),
        Event("budget_created", "A budget exists.", ("budget", "epsilon", "delta")),
        Event("budget_raised", "A budget was raised.", ("budget", "epsilon")),
        Event("budget_frozen", "A budget was frozen or unfrozen.", ("budget", "frozen")),
        Event("budget_corrected", "Privacy loss outside of the ledger was entered.", ("budget",)),
        Event("budget_refreshed", "A budget's next period began.", ("budget", "period")),
        Event(
            "window_waiting",
            "The schedule has not closed the window yet.",
            ("model", "start", "end", "seconds"),
        ),
        Event("window_sealed", "A window is closed by the schedule.", ("model", "start", "end")),
        Event(
            "window_late", "A window's work took longer than worker.publish_seconds.", ("model", "seconds")
        ),
        Event("window_charged", "A window was paid for.", ("budget", "seq", "epsilon_spent", "attempt")),
        Event("window_refused", "A window could not be paid for.", ("budget", "reason")),
        Event(
            "attempt_abandoned",
            "An attempt that did not finish; its charge stays.",
            ("budget", "reservation"),
        ),
        Event("model_released", "A model was released.", ("model", "release", "epsilon_spent")),
        Event("training_progress", "A window is being trained.", ("model", "step", "steps")),
        Event("lease_taken", "A lease was taken.", ("name", "epoch")),
        Event("lease_lost", "A lease went to another process.", ("name", "epoch")),
        Event(
            "tree_refused",
            "A tree of budgets is not relayed any more: its store and its journal do not agree.",
            ("budget", "code", "message"),
        ),
        Event("journal_relayed", "Entries reached the journal.", ("budget", "seq")),
        Event("alert_fired", "An alert was delivered.", ("fingerprint", "rule", "severity", "state")),
        Event(
            "budget_event_skipped",
            "A budget event of an unknown type or version, or a malformed one, was passed over.",
            ("kind", "path", "partition", "offset"),
        ),
        Event(
            "budget_event_gap",
            "A budget's sequence has a hole: events are missing from the topic.",
            ("budget", "seq", "expected"),
        ),
        Event(
            "operator_signal_skipped",
            "An operator signal of an unknown type or version, or a malformed one, was passed over.",
            ("kind", "path", "partition", "offset"),
        ),
        Event(
            "clock_went_back",
            "The clock is before a time that alerting saw; what depends on time waits until it is past it.",
            ("seconds",),
        ),
        Event("recipients_refused", "A mail server refused some recipients.", ("sink", "count")),
        Event("sink_failed", "A sink did not take an alert.", ("sink", "error_type", "attempt")),
        Event(
            "sink_refused", "A sink will never take an alert; it is given up there.", ("sink", "fingerprint")
        ),
        Event("sink_started", "Delivery to a sink goes on from where it stopped.", ("sink", "open", "held")),
        Event("broker_unreachable", "Kafka cannot be reached; trying again.", ("error_type", "attempt")),
        Event("store_unreachable", "The store cannot be reached; trying again.", ("error_type", "attempt")),
        Event("child_started", "A child process runs.", ("role", "pid")),
        Event("child_ended", "A child process ended.", ("role", "pid", "exit_code")),
        Event(
            "third_party",
            "A library's own log line, without its arguments.",
            ("logger", "template", "error_type"),
        ),
    )
}
