"""The caller's trace, if there is one: OpenTelemetry is used where it is loaded, never loaded here."""

from __future__ import annotations

import sys

__all__ = ["current_traceparent"]


def current_traceparent() -> str | None:
    """W3C traceparent of OpenTelemetry's current span; None without OpenTelemetry or without a span."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags) & 0xFF:02x}"
