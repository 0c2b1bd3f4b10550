"""The TLS contexts of outgoing connections.

Rule: certificates and host names are always verified, by what the operating system trusts, from TLS 1.2 on.
"""

from __future__ import annotations

import functools
import ssl
import sys

import truststore


@functools.cache
def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """One context for the life of the process: reading the trusted certificates takes milliseconds.

    `ca_file` (PEM) replaces the trust of the operating system. Where OpenSSL is that trust, its own variables
    `SSL_CERT_FILE` and `SSL_CERT_DIR` work as they do for every program that uses it.
    """
    if ca_file is None and sys.platform in ("darwin", "win32"):
        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
