"""Where alerts go. Each sink is a `veilstream.contracts.AlertSink`; to add one: a file here, a test, a row.

| sink           | file              | how it is told                                                     |
|----------------|-------------------|--------------------------------------------------------------------|
| `alertmanager` | `alertmanager.py` | `POST /api/v2/alerts`, again and again while it fires              |
| `console`      | `console.py`      | a panel where a person looks, else a JSON line                     |
| `email`        | `email.py`        | SMTP with STARTTLS or TLS; beginning and end are one thread        |
| `pagerduty`    | `pagerduty.py`    | Events API v2: trigger and resolve under one `dedup_key`           |
| `slack`        | `slack.py`        | a message of blocks by an incoming webhook                         |
| `webhook`      | `webhook.py`      | Alertmanager's webhook form, version 4, signed                     |

They are told by `veilstream.alerting.delivery`, each from its own place on the topic of truth: a sink
here only says whether it took an alert (`http.py` reads that off an answer). `registry.py` finds sinks by
name, also those that other packages bring as entry points; `trial.py` tries one.
"""
