"""Where alerts go. Each sink is a `veilstream.contracts.AlertSink`; to add one: a file here, a test, a row.

| sink      | file         | how it is called                                                    |
|-----------|--------------|---------------------------------------------------------------------|
| `topic`   | `topic.py`   | first, and awaited: the topic is the record of truth                |
| `console` | `console.py` | in the background: a panel where a person looks, else a JSON line   |
| `webhook` | `webhook.py` | in the background: a POST, tried again until it is taken or refused |

`background.py` is what keeps a dead sink from delaying anything.
"""
