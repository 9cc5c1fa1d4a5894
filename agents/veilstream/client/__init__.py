"""What an agent developer installs: send logs, hear of alerts, use released models.

    async with LogProducer(tenant="acme") as logs:
        await logs.send([{"role": "user", "content": "hi"}], subject="user-17")

        await logs.send_batch(values)   # several interactions of one person in one record

    async for alert in AlertSubscriber(tenant="acme"):
        print(alert.summary)

    model = load_release()          # model.card, model.tensors

    verify_webhook(secret, body, headers["X-Veilstream-Signature"])   # in what receives alerts by webhook

It guarantees: a record is checked against the event contract and the size limit before anything leaves the
process; `send` returns when every in-sync replica has the record; a dead broker is `BrokerUnavailable` with
one line of what to do; nothing here loads torch, Faust, Presidio or a Redis client.

It does not guarantee exactly once: a `send` that failed may have been written, and sending again makes a
second record with another id. It does not redact: raw logs travel to `interactions.raw`, which processors
alone may read.
"""

from veilstream.client.alerts import Alert, AlertSubscriber, SyncAlertSubscriber
from veilstream.client.producer import LogProducer, Receipt, SyncLogProducer
from veilstream.client.releases import Release, list_releases, load_release, local_releases, pull_release
from veilstream.events.signatures import verify_webhook

__all__ = [
    "Alert",
    "AlertSubscriber",
    "LogProducer",
    "Receipt",
    "Release",
    "SyncAlertSubscriber",
    "SyncLogProducer",
    "list_releases",
    "load_release",
    "local_releases",
    "pull_release",
    "verify_webhook",
]
