"""The archives file: which archives there are and how they are reached, never with what password.

A TOML file, by default ``archives.toml`` in the user's configuration folder, elsewhere where
``WORKBENCH_ARCHIVES`` says. Called by the command line and the web UI.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workbench.errors import PacsError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SecretName = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|keyring:[\w.-]+)$")]
Title = Annotated[str, Field(pattern=r"^[^\\\x00-\x1f\x7f-\U0010ffff]{1,16}$")]
"""An application entity title: 1 to 16 characters of ASCII without backslash (PS3.5 6.2, AE)."""
Port = Annotated[int, Field(ge=1, le=65_535)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Reached(_Settings):
    """What both kinds of archive have.

    Attributes:
        tls: encrypt the connection; only an explicit false turns it off.
        ca: file of the certificate authorities to trust (PEM); the system's where not given.
        certificate, key: our own certificate and its key (PEM), where the archive asks for one.
        timeout: seconds to wait for a connection or an answer.
    """

    tls: bool = True
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0

    @model_validator(mode="after")
    def _certificate_with_key(self) -> _Reached:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if not self.tls and (self.ca or self.certificate):
            raise ValueError("certificates are given, but tls is off")
        return self


class DicomWebSettings(_Reached):
    """An archive that speaks DICOMweb (PS3.18).

    Attributes:
        url: of the service, e.g. ``https://pacs.example.org/dicom-web``.
        auth: how we say who we are.
        secret: where the credential is: ``env:NAME`` (an environment variable) or ``keyring:NAME`` (the
            system's keyring, service ``fewshot-workbench``). ``user:password`` for basic, a token for bearer.
    """

    kind: Literal["dicomweb"]
    url: str
    auth: Literal["none", "basic", "bearer"] = "none"
    secret: SecretName | None = None

    @field_validator("url")
    @classmethod
    def _address_without_credential(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must look like https://host/path")
        if parts.username or parts.password:
            raise ValueError("holds a credential; name it with `secret` instead")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _said_twice(self) -> DicomWebSettings:
        if self.tls != (urlsplit(self.url).scheme == "https"):
            raise ValueError("an http:// address needs `tls = false`, an https:// address must not have it")
        if (self.auth == "none") != (self.secret is None):
            raise ValueError("`auth` and `secret` go together")
        return self

    @property
    def host(self) -> str:
        """Host name of `url`."""
        return urlsplit(self.url).hostname or ""


class DimseSettings(_Reached):
    """An archive that speaks DIMSE (PS3.7).

    Attributes:
        host, port: where it listens.
        called: its application entity title.
        calling: ours, as the archive knows it.
    """

    kind: Literal["dimse"]
    host: str
    port: Port
    called: Title
    calling: Title = "WORKBENCH"


class ReceiverSettings(_Settings):
    """The storage receiver, to which an archive moves or a modality sends.

    Attributes:
        title: its application entity title; callers must use it.
        host: address to listen on; this machine only by default.
        port: to listen on.
        calling: titles that may send.
        tls: only an explicit false turns it off; otherwise `certificate` and `key` are needed.
        certificate, key: of the receiver (PEM).
        ca: callers must show a certificate of these authorities (PEM).
        instances, bytes: most that is received before the receiver stops accepting.
        timeout: seconds a caller may stay silent.
    """

    title: Title = "WORKBENCH"
    host: str = "127.0.0.1"
    port: Port = 11_112
    calling: Annotated[tuple[Title, ...], Field(min_length=1)]
    tls: bool = True
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    instances: Annotated[int, Field(gt=0)] = 20_000
    bytes: Annotated[int, Field(gt=0)] = 8 * 2**30
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @model_validator(mode="after")
    def _encrypted_or_said(self) -> ReceiverSettings:
        if self.tls and (self.certificate is None or self.key is None):
            raise ValueError("name its certificate and key, or say tls = false")
        return self


ArchiveSettings = Annotated[DicomWebSettings | DimseSettings, Field(discriminator="kind")]


class ArchivesFile(_Settings):
    """The whole file.

    Attributes:
        archives: by name.
        receiver: see there; None where the file has none.
    """

    archives: dict[Annotated[str, Field(pattern=r"^[\w-]{1,40}$")], ArchiveSettings] = Field(
        default_factory=dict
    )
    receiver: ReceiverSettings | None = None

    def archive(self, name: str) -> DicomWebSettings | DimseSettings:
        """Settings of one archive.

        Raises:
            PacsError: there is none of that name.
        """
        if name not in self.archives:
            known = ", ".join(sorted(self.archives)) or "none"
            raise PacsError(name, "The archives file has no archive of that name.", f"It has: {known}.")
        return self.archives[name]


def archives_path() -> Path:
    """Where the file is: ``WORKBENCH_ARCHIVES``, or ``archives.toml`` in the user's configuration folder."""
    named = os.environ.get("WORKBENCH_ARCHIVES")
    return Path(named) if named else user_config_path("fewshot-workbench") / "archives.toml"


def read_archives(path: Path | None = None) -> ArchivesFile:
    """Read the archives file.

    Args:
        path: `archives_path` where not given. Certificates are looked for beside it.

    Raises:
        PacsError: it is missing, no TOML, or a field is wrong; the field is named, its value is not quoted.
    """
    path = path or archives_path()
    try:
        found = ArchivesFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise PacsError(
            path.name,
            "There is no archives file.",
            "docs/pacs.md shows one; WORKBENCH_ARCHIVES says where it is.",
        ) from error
    except OSError as error:
        raise PacsError(path.name, "The archives file cannot be read.", "Change its permissions.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PacsError(path.name, "It is not a TOML file.", "docs/pacs.md shows one.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        message = first["msg"].removeprefix("Value error, ")
        # The cause would carry the whole input, and with it a credential put where it does not belong.
        raise PacsError(path.name, f"{where}: {message}.", "docs/pacs.md explains every field.") from None
    return found.model_copy(
        update={
            "archives": {name: _beside(path, one) for name, one in found.archives.items()},
            "receiver": _beside(path, found.receiver) if found.receiver else None,
        }
    )


def _beside(path: Path, settings: _Settings) -> _Settings:
    """The same settings with file names made relative to the archives file's folder."""
    files = {name: path.parent / value for name, value in settings if isinstance(value, Path)}
    return settings.model_copy(update=files)
