"""Metrics, structured logs and health, with every name in one catalogue.

* `catalogue` — every metric and every log event, with its labels or fields. Nothing else may be recorded.
* `metrics` — prometheus-client metrics made from the catalogue.
* `logs` — one JSON object a line; a field that the catalogue does not list is an error, so that a payload
  cannot slip in.
* `health` — /livez, /readyz and /metrics of a role, over HTTP.
"""
