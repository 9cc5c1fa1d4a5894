"""E-mail, by SMTP: with STARTTLS (refused where the server has none), TLS from the start, or in the clear.

The message's id is made of the fingerprint: a resolution answers the message that it belongs to, so a mail
reader shows the two as one thread.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any, Literal

from pydantic import SecretStr

from veilstream.alerting.sinks.thread import in_thread
from veilstream.errors import SettingInvalid, SinkFailed, SinkRefused
from veilstream.settings import Settings
from veilstream.telemetry.logs import emit

__all__ = ["EmailSink", "from_settings", "message"]


def from_settings(settings: Settings) -> EmailSink:
    """Raises SettingInvalid where `alerting.email_host` or `alerting.email_to` is not set."""
    alerting = settings.alerting
    if alerting.email_host is None:
        raise SettingInvalid("alerting.email_host: is not set; the sink email needs an SMTP server")
    return EmailSink(
        alerting.email_host,
        alerting.email_port,
        security=alerting.email_security,
        username=alerting.email_username,
        password=alerting.email_password,
        sender=alerting.email_from,
        to=alerting.email_to,
        timeout_seconds=alerting.sink_timeout_seconds,
    )


class EmailSink:
    """Sends each alert to the same people."""

    name = "email"

    def __init__(
        self,
        host: str,
        port: int = 587,
        *,
        security: Literal["starttls", "tls", "none"] = "starttls",
        username: str | None = None,
        password: SecretStr | None = None,
        sender: str = "veilstream@localhost",
        to: Sequence[str] = (),
        timeout_seconds: float = 10.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Raises SettingInvalid where an address is none, or a password would travel in the clear.

        Args:
            context: what the server's certificate is checked with; the system's authorities by default.
        """
        if not to:
            raise SettingInvalid("alerting.email_to: is empty; the sink email needs somebody to write to")
        for setting, address in (("email_from", sender), *(("email_to", one) for one in to)):
            if "@" not in parseaddr(address)[1] or not address.isprintable():
                raise SettingInvalid(f"alerting.{setting}: got a value that is no address of e-mail")
        if username is not None and security == "none":
            raise SettingInvalid(
                "alerting.email_security: got 'none' with a user name; it takes starttls or tls",
                hint="a password is not sent in the clear",
            )
        self._host, self._port, self._security = host, port, security
        self._username, self._password = username, password
        self._sender, self._to = sender, tuple(to)
        self._timeout_seconds = timeout_seconds
        self._context = context

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Return when the server has taken it for every recipient.

        Raises:
            SinkRefused: the server does not take this message.
            SinkFailed, OSError, TimeoutError: trying again may help.
        """
        mail = message(alert, sender=self._sender, to=self._to)
        await in_thread(lambda: self._send(mail), timeout_seconds=self._timeout_seconds)

    def _send(self, mail: EmailMessage) -> None:
        try:
            with self._connected() as server:
                if self._username is not None:
                    password = self._password.get_secret_value() if self._password else ""
                    server.login(self._username, password)
                refused = server.send_message(mail)
        except smtplib.SMTPDataError as error:
            # 5xx after the text: it is the message. Before it: sender, recipients or login, so a setting.
            if 500 <= error.smtp_code < 600:
                raise SinkRefused(f"SMTP {error.smtp_code}") from None
            raise SinkFailed(f"SMTP {error.smtp_code}") from None
        except smtplib.SMTPException as error:  # its text quotes addresses
            raise SinkFailed(f"SMTP ({type(error).__name__})") from None
        if refused:  # others have it: told again, they would have it again
            emit("recipients_refused", level=logging.WARNING, sink=self.name, count=len(refused))

    def _connected(self) -> smtplib.SMTP:
        context = self._context or ssl.create_default_context()
        if self._security == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_seconds, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_seconds)
        if self._security == "starttls":
            try:
                server.starttls(context=context)  # raises where the server does not offer it
            except BaseException:
                server.close()
                raise
        return server


def message(alert: Mapping[str, Any], *, sender: str, to: Sequence[str]) -> EmailMessage:
    """The e-mail of an alert: plain text."""
    resolved = alert["state"] == "resolved"
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    word = "RESOLVED" if resolved else alert["severity"].upper()
    # A header takes one line: whatever is in the summary must not begin another.
    mail["Subject"] = " ".join(f"[veilstream] {word}: {alert['summary']}".split())
    when = datetime.fromisoformat(alert["time"])
    mail["Date"] = format_datetime(when.astimezone(UTC))
    thread = f"<{alert['fingerprint']}.firing@veilstream>"
    mail["Message-ID"] = f"<{alert['fingerprint']}.resolved@veilstream>" if resolved else thread
    if resolved:
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies are not wanted
    mail.set_content(
        f"{alert['description']}\n\n"
        f"Tenant: {alert['tenant']}\nBudget: {alert['budget']}\nRule: {alert['rule']}\n"
        f"ε spent: {alert['epsilon_spent']:.4g} of {alert['epsilon']:.4g}\n"
        f"Runbook: {alert['runbook']}\nTime: {alert['time']}\nFingerprint: {alert['fingerprint']}\n"
    )
    return mail
