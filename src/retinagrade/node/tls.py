"""Encrypted connections: TLS 1.2 or later.

Source: DICOM PS3.15 B.12 (BCP 195 TLS Secure Transport Connection Profile).
"""

from __future__ import annotations

import ssl

from retinagrade.errors import UsageError
from retinagrade.node.settings import Tls


def server_context(tls: Tls) -> ssl.SSLContext:
    """Returns the settings of the server; with an authority, a client must have a certificate of it.

    Raises:
        UsageError: A file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, tls)
    if tls.authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Returns the settings for calling an archive, whose certificate must be valid and name its host.

    Raises:
        UsageError: A file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, tls)
    if tls.authority is None:
        context.load_default_certs()
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{tls.certificate} and {tls.key} are no certificate with its key: {error}") from error
    if tls.authority is None:
        return
    try:
        context.load_verify_locations(tls.authority)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{tls.authority} holds no certificates of an authority: {error}") from error
