"""Fetching a credential by its name, when it is needed and not before.

Called by `dicomweb`; the value goes into the request and nowhere else.
"""

from __future__ import annotations

import os

from workbench.errors import PacsError

SERVICE = "fewshot-workbench"
"""The keyring's service; `keyring set fewshot-workbench NAME` stores a credential."""


def credential(archive: str, secret: str) -> str:
    """The credential that `secret` names.

    Args:
        archive: whose it is, for messages.
        secret: ``env:NAME`` or ``keyring:NAME``.

    Raises:
        PacsError: there is none of that name, or the system has no keyring.
    """
    source, _, name = secret.partition(":")
    if source == "env":
        if value := os.environ.get(name):
            return value
        raise PacsError(
            archive, f"The environment variable {name} with its credential is not set.", "Set it."
        )
    import keyring
    from keyring.errors import KeyringError

    try:
        value = keyring.get_password(SERVICE, name)
    except KeyringError as error:
        raise PacsError(
            archive,
            "The system's keyring cannot be used.",
            "Name an environment variable: secret = 'env:NAME'.",
        ) from error
    if not value:
        raise PacsError(
            archive, f"The keyring has no entry {name!r}.", f"Store it with `keyring set {SERVICE} {name}`."
        )
    return value
