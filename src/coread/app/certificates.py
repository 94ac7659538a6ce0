"""Whom we trust when we send, and what we show: the TLS context for destinations."""

import ssl

from coread.app.errors import BadSettings
from coread.app.settings import Settings


def delivery_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context for encrypted destinations; ``None`` where the settings speak of none.

    Raises BadSettings when a file cannot be used.
    """
    if settings.delivery_tls_ca is None and not any(peer.tls for peer in settings.destinations):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.delivery_tls_ca)
        if settings.delivery_tls_certificate is not None:
            context.load_cert_chain(settings.delivery_tls_certificate, settings.delivery_tls_key)
    except (OSError, ssl.SSLError) as problem:
        raise BadSettings(f"the certificate files for destinations cannot be used: {problem}") from problem
    return context
