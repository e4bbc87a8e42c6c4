"""Passwords: Argon2id (RFC 9106), and the same time spent on names that do not exist."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from workbench.errors import WorkbenchError

MIN_LENGTH, MAX_LENGTH = 12, 1024
"""Characters (NIST SP 800-63B-4 asks for length and no rules about kinds of characters)."""
_HASHER = PasswordHasher()
_AT_ONCE = threading.BoundedSemaphore(4)
"""Each check takes 64 MiB: a crowd at the door waits its turn."""


def hashed(password: str) -> str:
    """Argon2id hash with its salt and parameters.

    Raises:
        WorkbenchError: the password is too short or too long.
    """
    if len(password) < MIN_LENGTH:
        raise WorkbenchError(
            f"The password has fewer than {MIN_LENGTH} characters. A few words in a row make a good one."
        )
    if len(password) > MAX_LENGTH:
        raise WorkbenchError(f"The password has more than {MAX_LENGTH} characters. Choose a shorter one.")
    return _HASHER.hash(password)


def matches(stored: str, password: str) -> bool:
    """Whether the password is the stored one; takes as long where `stored` is empty (nobody, no password)."""
    try:
        with _AT_ONCE:
            right = _HASHER.verify(stored or _nobody(), password[:MAX_LENGTH])
    except (VerificationError, InvalidHashError):
        return False
    return right and bool(stored)


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


@cache
def _nobody() -> str:
    return _HASHER.hash("a password that nobody has")
