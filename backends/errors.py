"""What can go wrong between us and an upstream before we hold its whole answer.

    UpstreamError
    ├── AddressRefused          address_refused      the base URL leads where we do not connect
    ├── HeaderRefused           header_refused       a header of the request cannot be sent as it is
    ├── ConnectFailed           connect_failed       no connection, nothing was sent
    │   ├── DnsFailed           dns_failed
    │   ├── ConnectRefused      connect_refused
    │   ├── ConnectTimedOut     connect_timeout
    │   └── TlsFailed           tls_failed
    ├── SendFailed              send_failed          the request did not get out as a whole
    │   └── SendTimedOut        send_timeout
    ├── AmbiguousFailure        ambiguous            sent as a whole, no usable answer: it may have acted
    │   ├── NoAnswer            no_answer
    │   ├── FirstByteTimeout    first_byte_timeout
    │   └── BadFraming          bad_framing
    └── StreamFailed            stream_failed        an answer began and did not end well
        ├── StreamCut           stream_cut
        ├── StreamGarbled       stream_garbled
        ├── IdleTimeout         idle_timeout
        ├── TooLarge            too_large
        └── BadEncoding         bad_encoding

Rule: a message names host and port at most, never a header value, a body or a query: it is shown and logged.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Sent = Literal["none", "partly", "fully"]
Phase = Literal["connect", "send", "wait", "body"]


class UpstreamError(Exception):
    """`code` is stable and goes into records; `message` says what happened and what to check.

    `request_sent` says how much of the request left this machine: with "none" and "partly" the upstream
    cannot have acted on it, with "fully" it may have.
    """

    code: ClassVar[str] = "upstream_error"
    phase: ClassVar[Phase] = "connect"
    request_sent: Sent = "none"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class AddressRefused(UpstreamError):
    code = "address_refused"


class HeaderRefused(UpstreamError):
    code = "header_refused"


class ConnectFailed(UpstreamError):
    code = "connect_failed"


class DnsFailed(ConnectFailed):
    code = "dns_failed"


class ConnectRefused(ConnectFailed):
    code = "connect_refused"


class ConnectTimedOut(ConnectFailed):
    code = "connect_timeout"


class TlsFailed(ConnectFailed):
    code = "tls_failed"


class SendFailed(UpstreamError):
    code = "send_failed"
    phase = "send"
    request_sent: Sent = "partly"


class SendTimedOut(SendFailed):
    code = "send_timeout"


class AmbiguousFailure(UpstreamError):
    code = "ambiguous"
    phase = "wait"
    request_sent: Sent = "fully"


class NoAnswer(AmbiguousFailure):
    code = "no_answer"


class FirstByteTimeout(AmbiguousFailure):
    code = "first_byte_timeout"


class BadFraming(AmbiguousFailure):
    code = "bad_framing"


class StreamFailed(UpstreamError):
    code = "stream_failed"
    phase = "body"
    request_sent: Sent = "fully"


class StreamCut(StreamFailed):
    code = "stream_cut"


class StreamGarbled(StreamFailed):
    code = "stream_garbled"


class IdleTimeout(StreamFailed):
    code = "idle_timeout"


class TooLarge(StreamFailed):
    code = "too_large"


class BadEncoding(StreamFailed):
    code = "bad_encoding"
