"""Every error the workbench raises on purpose.

Each message names the file, class or field at fault and the fix, so that it can be shown to a person as
it stands. Callers that handle many scans catch `ScanRefused` per file and go on with the rest.
"""

from __future__ import annotations

import traceback


class WorkbenchError(Exception):
    """Base of all errors that are the input's fault rather than a defect."""


def without_words(error: BaseException) -> str:
    """Kind and place of a defect, for a log: its message may quote a file, and with it a patient."""
    place = "".join(traceback.format_tb(error.__traceback__))
    # Of SQLite, which of its many errors it was: a name of its own list.
    code = getattr(getattr(error, "orig", error), "sqlite_errorname", "")
    return f"{type(error).__name__} {code}".rstrip() + f"\n{place}"


class ScanRefused(WorkbenchError):
    """A file could not become a `Scan`.

    Attributes:
        source: name of the file as the user knows it (no folder: paths may identify a patient).
        reason: what is wrong, as one sentence that names no file: exports hold it.
        fix: what the user can do about it, as one sentence.
        about: name of another file that the reason speaks of, for the user's own screen only; or empty.
    """

    def __init__(self, source: str, reason: str, fix: str, about: str = "") -> None:
        self.source = source
        self.reason = reason
        self.fix = fix
        self.about = about
        super().__init__(f"{source}: {self.told} {fix}".strip())

    @property
    def told(self) -> str:
        """The reason with the other file's name, for the user's own screen only."""
        return f"{self.reason} ({self.about})" if self.about else self.reason

    def __reduce__(self) -> tuple[type[ScanRefused], tuple[str, str, str, str]]:
        return (type(self), (self.source, self.reason, self.fix, self.about))


class RegionError(WorkbenchError):
    """A marked region (slices, box) cannot be read or makes no region."""


class SupportError(WorkbenchError):
    """The labelled scans cannot be learned from (one class only, too few, mixed modalities, ...)."""


class CohortError(WorkbenchError):
    """A cohort cannot be evaluated or trained on as asked (leak between patients, empty class, ...)."""


class CardError(WorkbenchError):
    """A dataset card does not follow the schema; the message names the file and the field."""


class FetchError(WorkbenchError):
    """A dataset could not be found or downloaded whole."""


class PlanError(WorkbenchError):
    """A training plan does not follow the schema or contradicts itself."""


class TrainingError(WorkbenchError):
    """A training run cannot go on (the loss is no longer a number)."""


class ModelFileError(WorkbenchError):
    """A weights or classifier file is damaged, of another kind, or made for other weights."""


class PacsError(WorkbenchError):
    """An image archive could not be reached, refused what was asked, or is described wrongly.

    No message quotes what was asked for or with which credential: both may identify a person.

    Attributes:
        archive: its name in the archives file.
        reason: what is wrong, as one sentence.
        fix: what the user can do about it, as one sentence.
    """

    def __init__(self, archive: str, reason: str, fix: str) -> None:
        super().__init__(f"{archive}: {reason} {fix}".strip())
        self.archive = archive
        self.reason = reason
        self.fix = fix

    def __reduce__(self) -> tuple[type[PacsError], tuple[str, str, str]]:
        return (type(self), (self.archive, self.reason, self.fix))


class StoreError(WorkbenchError):
    """The data directory or its database cannot be opened, is of another version, or is damaged."""


class NotFound(WorkbenchError):
    """There is no such thing, or not for whoever asks; the two are never told apart."""


class NotAllowed(WorkbenchError):
    """Whoever asks may look at this but not do that."""


class StaleEdit(WorkbenchError):
    """Somebody else edited the same thing meanwhile; nothing was changed. The message says to look again."""


class QuotaExceeded(WorkbenchError):
    """The upload would pass what one request, one person or the site may hold."""


class SignInError(WorkbenchError):
    """Name or password is wrong, the account is closed, or there were too many attempts."""


class BundleError(WorkbenchError):
    """A case bundle is damaged, was changed after signing, is of another format, or cannot be replayed."""
