"""Slows guessing of passwords down, without shutting anybody out for good.

After a few wrong attempts each further one makes the next wait twice as long, up to a limit; what is a day
old is forgotten. Attempts are counted three times over: at a name from one address, at a name from anywhere,
and from an address at any name. Names and addresses are kept as digests only. The counts are in the database,
so that they hold across processes and restarts.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from workbench.errors import SignInError
from workbench.store.schema import FailedSignIn

_FORGOTTEN = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How many wrong attempts are free, and how the wait grows: 2, 4, 8, ... seconds up to `longest`."""

    free: int
    longest: float

    def wait(self, failures: int) -> float:
        """Seconds after the last wrong attempt before the next is looked at."""
        over = failures - self.free
        return 0.0 if over < 0 else min(2.0 ** min(over + 1, 32), self.longest)


BY_BOTH = Pace(free=5, longest=900.0)
BY_NAME = Pace(free=20, longest=20.0)
"""Short, or a stranger could keep the person out by guessing all day."""
BY_ADDRESS = Pace(free=20, longest=60.0)
"""Many people may sit behind one address."""


def attempt(session: Session, name: str, address: str) -> tuple[int, ...]:
    """Count an attempt as wrong before its password is looked at, so that many at once cannot slip through.

    Returns:
        what `succeeded` takes if the password turns out right.

    Raises:
        SignInError: it comes too soon; says how long to wait. Such an attempt is not counted.
    """
    keys = _keys(name, address)
    wait = max(_left(session, key, pace) for key, pace in keys)
    if wait > 0:
        raise SignInError(f"There were too many wrong attempts. Try again in {_in_words(wait)}.")
    now = time.time()
    session.execute(delete(FailedSignIn).where(FailedSignIn.at < now - _FORGOTTEN))
    rows = [FailedSignIn(key=key, at=now) for key, _ in keys]
    session.add_all(rows)
    session.flush()
    return tuple(row.id for row in rows)


def succeeded(session: Session, name: str, address: str, counted: tuple[int, ...]) -> None:
    """The attempt was right: forget it, and the wrong ones of this person from here."""
    both = _keys(name, address)[0][0]
    session.execute(delete(FailedSignIn).where(FailedSignIn.id.in_(counted) | (FailedSignIn.key == both)))


def _keys(name: str, address: str) -> tuple[tuple[str, Pace], ...]:
    return (
        (_digest("both", name, address), BY_BOTH),
        (_digest("name", name), BY_NAME),
        (_digest("address", address), BY_ADDRESS),
    )


def _left(session: Session, key: str, pace: Pace) -> float:
    count, last = session.execute(
        select(func.count(), func.max(FailedSignIn.at)).where(
            FailedSignIn.key == key, FailedSignIn.at > time.time() - _FORGOTTEN
        )
    ).one()
    wait = pace.wait(count)
    # The time is asked only now: the statement may have waited for others, who came first.
    return 0.0 if last is None or wait == 0 else max(0.0, last + wait - time.time())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _in_words(seconds: float) -> str:
    whole = math.ceil(seconds)
    if whole <= 90:
        return "1 second" if whole == 1 else f"{whole} seconds"
    return f"{math.ceil(whole / 60)} minutes"
