"""Associations with an archive, and saying in words why there is none (PS3.8 9.3.4).

Called by `dimse`.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from workbench.errors import PacsError
from workbench.pacs.config import DimseSettings

# The library logs requests and answers, which identify people; what matters becomes a `PacsError`.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
# Files are sent as they are, not parsed and encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True

MOST_CONTEXTS = 128
"""Presentation context IDs are odd numbers from 1 to 255 (PS3.8 9.3.2.2)."""

_REJECTIONS = {
    (1, 3): ("It does not know our AE title.", "Have {calling} registered there, or correct `calling`."),
    (1, 7): ("It does not go by this AE title.", "Correct `called`."),
    (3, 1): ("It has no room for another association now.", "Try again later."),
    (3, 2): ("It has no room for another association now.", "Try again later."),
}
"""By source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""


@contextmanager
def associated(
    name: str,
    settings: DimseSettings,
    tls: ssl.SSLContext | None,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[EventHandlerType] = (),
) -> Iterator[Association]:
    """An established association, released at the end.

    Raises:
        PacsError: it was refused, or the archive cannot be reached.
    """
    entity = AE(ae_title=settings.calling)
    entity.acse_timeout = entity.dimse_timeout = settings.timeout
    entity.network_timeout = entity.connection_timeout = settings.timeout
    association = entity.associate(
        settings.host,
        settings.port,
        contexts=list(contexts),
        ae_title=settings.called,
        ext_neg=list(roles),
        evt_handlers=list(handlers),
        tls_args=(tls, settings.host) if tls is not None else None,
    )
    if not association.is_established:
        raise _refusal(name, settings, tls, association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def broken(name: str, settings: DimseSettings) -> PacsError:
    """The error of an association that ended, or fell silent, in the middle."""
    return PacsError(
        name,
        f"It broke off, or did not answer within {settings.timeout:g} seconds.",
        "Try again, or raise `timeout`.",
    )


def _refusal(
    name: str, settings: DimseSettings, tls: ssl.SSLContext | None, association: Association
) -> PacsError:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        unknown = ("It refuses the association.", "Ask its administrator whether {calling} may connect.")
        reason, fix = _REJECTIONS.get((answer.result_source or 0, answer.diagnostic or 0), unknown)
        return PacsError(name, reason, fix.format(calling=settings.calling))
    if answer is not None and association.rejected_contexts and not association.accepted_contexts:
        return no_context(name, "any of the services asked for")
    return _unreachable(name, settings, tls)


def no_context(name: str, what: str) -> PacsError:
    """The error of a service that the archive does not offer to us."""
    return PacsError(
        name,
        f"It does not offer {what} (no presentation context was accepted).",
        "Have it enabled there for our AE title.",
    )


def _unreachable(name: str, settings: DimseSettings, tls: ssl.SSLContext | None) -> PacsError:
    """Connect once more, without DICOM, to learn what is in the way: the library does not tell."""
    try:
        with socket.create_connection((settings.host, settings.port), settings.timeout) as plain:
            if tls is not None:
                tls.wrap_socket(plain, server_hostname=settings.host).close()
    except ssl.SSLCertVerificationError:
        return PacsError(
            name,
            "Its certificate is not trusted, or is for another host.",
            "Name the hospital's authority with `ca`.",
        )
    except ssl.SSLError:
        return PacsError(
            name,
            "No encrypted connection could be made.",
            "Check that this port speaks TLS; a port that does not needs tls = false.",
        )
    except TimeoutError:
        return PacsError(
            name,
            f"It did not answer within {settings.timeout:g} seconds.",
            "Check `host`, `port` and `tls`, or raise `timeout`.",
        )
    except socket.gaierror:
        return PacsError(name, "There is no such host.", "Check `host`.")
    except ConnectionRefusedError:
        return PacsError(name, "Nothing listens there.", "Check `host` and `port`, and whether it runs.")
    except OSError:
        return PacsError(name, "It cannot be reached.", "Check `host`, `port`, `tls` and the network.")
    return PacsError(
        name,
        "It closed the connection before an association was made.",
        "Check that this is a DICOM port, and whether it wants TLS and our `certificate` and `key`.",
    )
