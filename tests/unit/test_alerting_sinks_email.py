"""E-mail against a local SMTP server that speaks STARTTLS and TLS with a certificate of its own."""

from __future__ import annotations

import base64
import datetime
import socketserver
import ssl
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from alert_world import alert
from veilstream.alerting.sinks.email import EmailSink
from veilstream.errors import SettingInvalid, SinkFailed, SinkRefused


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key, for `localhost`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


class Mailbox:
    """An SMTP server in a thread. `answers` replaces what it says to a verb; `log` is what it was told."""

    def __init__(self, certificate: Path, mode: Literal["plain", "starttls", "tls"]) -> None:
        self.answers: dict[str, str] = {}
        self.log: list[tuple[str, bool]] = []  # line, and whether it came encrypted
        self.mails: list[Message] = []
        mailbox = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    self._talk()
                except OSError:
                    return  # the client has gone

            def _talk(self) -> None:
                connection: Any = self.request
                safe = mode == "tls"
                if safe:
                    connection = context.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rwb")

                def say(text: str) -> None:
                    stream.write(text.encode() + b"\r\n")
                    stream.flush()

                say("220 here")
                while line := stream.readline().decode().strip():
                    mailbox.log.append((line, safe))
                    verb = line.split()[0].upper()
                    said = mailbox.answers.get(verb) or mailbox.answers.get(line)
                    if said is not None and verb != "DATA":
                        say(said)
                    elif verb == "EHLO":
                        offers = ["here", "AUTH PLAIN"] + (
                            ["STARTTLS"] if mode == "starttls" and not safe else []
                        )
                        for number, offer in enumerate(offers, 1):
                            say(f"250{'-' if number < len(offers) else ' '}{offer}")
                    elif verb == "STARTTLS":
                        say("220 go on")
                        stream.close()
                        connection, safe = context.wrap_socket(connection, server_side=True), True
                        stream = connection.makefile("rwb")
                    elif verb == "DATA":
                        say("354 go on")
                        text = b""
                        while (part := stream.readline()) != b".\r\n":
                            text += part
                        if said is None:
                            mailbox.mails.append(message_from_bytes(text, policy=default))
                        say(said or "250 taken")
                    elif verb == "QUIT":
                        say("221 bye")
                        return
                    else:
                        say("235 in" if verb == "AUTH" else "250 fine")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("localhost", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def mailbox(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Mailbox]:
    made = Mailbox(certificate, getattr(request, "param", "starttls"))
    yield made
    made.close()


def sink(mailbox: Mailbox, certificate: Path, **more: Any) -> EmailSink:
    options: dict[str, Any] = {
        "to": ["a@example.org", "b@example.org"],
        "timeout_seconds": 5.0,
        "context": ssl.create_default_context(cafile=str(certificate)),
        **more,
    }
    return EmailSink("localhost", mailbox.port, **options)


async def test_starttls_hides_password_and_mail(mailbox: Mailbox, certificate: Path) -> None:
    sender = sink(mailbox, certificate, username="me", password=SecretStr("hunter2"))
    await sender.deliver(alert())
    await sender.deliver(alert(1, "resolved"))
    login = base64.b64encode(b"\0me\0hunter2").decode()
    assert (f"AUTH PLAIN {login}", True) in mailbox.log
    assert not [
        line for line, safe in mailbox.log if not safe and line.split()[0] not in ("ehlo", "STARTTLS")
    ]
    first, second = mailbox.mails
    assert first["Subject"] == "[veilstream] WARNING: Budget acme/demo has reached 80 %"
    assert first["To"] == "a@example.org, b@example.org"
    assert alert()["description"] in str(first.get_payload(decode=True), "utf-8")  # type: ignore[arg-type]
    assert second["Subject"].startswith("[veilstream] RESOLVED: ")
    assert second["In-Reply-To"] == first["Message-ID"], "one thread in a mail reader"


@pytest.mark.parametrize("mailbox", ["tls"], indirect=True)
async def test_tls_from_the_start(mailbox: Mailbox, certificate: Path) -> None:
    await sink(mailbox, certificate, security="tls").deliver(alert())
    assert len(mailbox.mails) == 1
    assert all(safe for _, safe in mailbox.log)


@pytest.mark.parametrize("mailbox", ["plain"], indirect=True)
async def test_a_server_without_starttls_gets_nothing(mailbox: Mailbox, certificate: Path) -> None:
    with pytest.raises(SinkFailed):
        await sink(mailbox, certificate).deliver(alert())
    assert mailbox.mails == []
    await sink(mailbox, certificate, security="none").deliver(alert())
    assert len(mailbox.mails) == 1


async def test_a_certificate_of_nobody_known_is_not_trusted(mailbox: Mailbox, certificate: Path) -> None:
    with pytest.raises((SinkFailed, OSError)):
        await sink(mailbox, certificate, context=ssl.create_default_context()).deliver(alert())
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("verb", "answer", "error"),
    [
        ("DATA", "554 looks like spam", SinkRefused),
        ("DATA", "451 try later", SinkFailed),
        ("RCPT", "550 nobody here a@example.org", SinkFailed),
        ("MAIL", "530 who are you", SinkFailed),
        ("AUTH", "535 wrong password", SinkFailed),
    ],
)
async def test_what_the_server_says_is_sorted_and_its_words_are_not_shown(
    mailbox: Mailbox, certificate: Path, verb: str, answer: str, error: type[Exception]
) -> None:
    mailbox.answers[verb] = answer
    sender = sink(mailbox, certificate, username="me", password=SecretStr("hunter2"))
    with pytest.raises(error) as caught:
        await sender.deliver(alert())
    assert answer.partition(" ")[2] not in str(caught.value)
    assert "example.org" not in str(caught.value)


async def test_who_has_it_does_not_get_it_again_for_another_who_is_refused(
    mailbox: Mailbox, certificate: Path
) -> None:
    mailbox.answers["RCPT TO:<b@example.org>"] = "550 nobody here"
    await sink(mailbox, certificate).deliver(alert())
    assert len(mailbox.mails) == 1


async def test_no_text_begins_another_header(mailbox: Mailbox, certificate: Path) -> None:
    await sink(mailbox, certificate).deliver(alert(summary="spent\r\nBcc: everyone@example.org\n.\r\nQUIT"))
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None
    assert "Bcc: everyone" in mail["Subject"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": []}, "email_to"),
        ({"to": ["nobody"]}, "email_to"),
        ({"to": ["a@example.org\nBcc: b@example.org"]}, "email_to"),
        ({"sender": ""}, "email_from"),
        ({"username": "me", "security": "none"}, "email_security"),
    ],
)
def test_what_cannot_be_sent_is_said_at_the_start(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingInvalid, match=said):
        EmailSink("localhost", **{"to": ["a@example.org"], **options})
