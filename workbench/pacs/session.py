"""The HTTP session with a DICOMweb archive, and saying in words what goes wrong on it.

Called by `dicomweb`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from workbench.errors import PacsError
from workbench.pacs.config import DicomWebSettings
from workbench.pacs.credentials import credential

# Both write addresses into their debug messages, and an address holds what was searched for.
logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)
logging.getLogger("urllib3.connectionpool").setLevel(logging.CRITICAL)


class _Session(requests.Session):
    """Leaves ``*`` as it is and writes a blank as ``%20``, both as RFC 3986 would have it.

    dicomweb-client encodes queries as HTML forms do, and Orthanc's DICOMweb plug-in takes ``%2A`` literally.
    """

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """See `requests.Session.prepare_request`."""
        prepared = super().prepare_request(request)
        address, mark, query = (prepared.url or "").partition("?")
        prepared.url = address + mark + query.replace("%2A", "*").replace("+", "%20")
        return prepared


def open_session(name: str, settings: DicomWebSettings) -> requests.Session:
    """A session with the archive's credential and certificates.

    Raises:
        PacsError: one of them cannot be had.
    """
    session = _Session()
    # Neither .netrc nor proxy or certificate variables of the environment: the archives file says it all.
    session.trust_env = False
    session.max_redirects = 0
    session.verify = str(settings.ca) if settings.ca else True
    if settings.certificate and settings.key:
        session.cert = (str(settings.certificate), str(settings.key))
    for file in (settings.ca, settings.certificate, settings.key):
        if file is not None and not file.is_file():
            raise PacsError(
                name, f"The file {file.name} is not there.", "Check `ca`, `certificate` and `key`."
            )
    if settings.secret is not None:
        secret = credential(name, settings.secret)
        if settings.auth == "basic":
            user, colon, password = secret.partition(":")
            if not colon:
                raise PacsError(
                    name, "The credential for basic is not of the form user:password.", "Store it so."
                )
            session.auth = (user, password)
        else:
            session.headers["Authorization"] = f"Bearer {secret}"
    return session


@contextmanager
def speaking(name: str, settings: DicomWebSettings) -> Iterator[None]:
    """Turn what goes wrong between us and the archive into `PacsError`.

    Causes are left out: their messages quote addresses, and an address holds what was searched for.
    """
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise access_error(name, settings, status) from None
        if status == 404:
            raise PacsError(name, "There is no DICOMweb service at its url (404).", "Check `url`.") from None
        raise PacsError(
            name, f"It answered {status}.", "Ask its administrator, or try again later."
        ) from None
    except requests.exceptions.SSLError:
        raise tls_error(name) from None
    except requests.Timeout:
        raise PacsError(
            name,
            f"It did not answer within {settings.timeout:g} seconds.",
            "Check `url` and the network, or raise `timeout`.",
        ) from None
    except requests.TooManyRedirects:
        raise PacsError(
            name, "It sends us to another address.", "Put the address it leads to into `url`."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PacsError(name, "What it answers is not DICOMweb.", "Check `url`.") from None
    except requests.RequestException:
        raise PacsError(
            name, "It cannot be reached.", "Check `url`, the network, and whether it runs."
        ) from None


def access_error(name: str, settings: DicomWebSettings, status: int) -> PacsError:
    """The error of an answer 401 or 403."""
    if settings.auth == "none":
        return PacsError(
            name,
            f"It asks who we are ({status}).",
            "Give `auth` and `secret` in the archives file.",
        )
    return PacsError(
        name,
        f"It does not accept the credential ({status}).",
        "Check what `secret` names, and what the account may do.",
    )


def tls_error(name: str) -> PacsError:
    """The error of an encrypted connection that could not be made."""
    return PacsError(
        name,
        "The encrypted connection failed: its certificate is not trusted, or it wants one of ours.",
        "Name the hospital's authority with `ca`, or our certificate with `certificate` and `key`.",
    )
