"""From settings to an `Archive`."""

from __future__ import annotations

from workbench.pacs.archive import Archive
from workbench.pacs.config import ArchivesFile, DicomWebSettings, DimseSettings, read_archives
from workbench.pacs.tls import plain_warning

__all__ = ["open_archive", "warning_of"]


def open_archive(name: str, archives: ArchivesFile | None = None) -> Archive:
    """The archive of that name; nothing is sent until one of its methods is called.

    Args:
        name: in the archives file.
        archives: `read_archives()` where not given.

    Raises:
        PacsError: there is none of that name, or its credential or certificates cannot be had.
    """
    settings = (archives or read_archives()).archive(name)
    if isinstance(settings, DicomWebSettings):
        from workbench.pacs.dicomweb import DicomWebArchive

        return DicomWebArchive(name, settings)
    from workbench.pacs.dimse import DimseArchive

    return DimseArchive(name, settings)


def warning_of(settings: DicomWebSettings | DimseSettings) -> str:
    """What a person should know about the connection, or empty."""
    return plain_warning(settings.host, settings.tls)
