"""The archives file: TLS unless refused, credentials by name only, mistakes named by field and not quoted."""

from __future__ import annotations

from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from tests.pacs.certificates import make
from workbench.errors import PacsError
from workbench.pacs.config import ArchivesFile, read_archives
from workbench.pacs.connect import open_archive, warning_of
from workbench.pacs.credentials import credential

WEB = '[archives.main]\nkind = "dicomweb"\nurl = "https://pacs.example.org/dicom-web"\n'
DIMSE = '[archives.old]\nkind = "dimse"\nhost = "pacs.example.org"\nport = 2762\ncalled = "PACS"\n'


def parse(tmp_path: Path, text: str) -> ArchivesFile:
    (tmp_path / "archives.toml").write_text(text)
    return read_archives(tmp_path / "archives.toml")


def test_tls_is_on_unless_it_is_turned_off(tmp_path: Path) -> None:
    found = parse(tmp_path, WEB + DIMSE)
    assert found.archive("main").tls
    assert found.archive("old").tls
    assert not parse(tmp_path, DIMSE + "tls = false\n").archive("old").tls


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (WEB.replace("https", "http"), "tls = false"),
        (WEB + "tls = false\n", "tls = false"),
        (WEB + 'password = "hunter2"\n', "password"),
        (WEB.replace("pacs.", "me:hunter2@pacs."), "url: holds a credential"),
        (WEB + 'auth = "basic"\nsecret = "hunter2"\n', "secret"),
        (WEB + 'auth = "basic"\n', "`auth` and `secret` go together"),
        (WEB + 'certificate = "a.pem"\n', "certificate and key go together"),
        (DIMSE + 'ca = "a.pem"\ntls = false\n', "tls is off"),
        (DIMSE.replace("PACS", "A TITLE THAT IS TOO LONG"), "called"),
        (DIMSE.replace("2762", "0"), "port"),
        (DIMSE.replace("dimse", "ftp"), "kind"),
        ("[receiver]\ncalling = []\ntls = false\n", "calling"),
        ('[receiver]\ncalling = ["PACS"]\n', "name its certificate and key"),
        ("archives = 7", "archives"),
        ("[archives", "not a TOML file"),
    ],
)
def test_mistakes_are_named_by_field_and_never_quoted(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(PacsError) as caught:
        parse(tmp_path, text)
    assert field in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None or "hunter2" not in str(caught.value.__cause__)


def test_a_missing_file_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ARCHIVES", str(tmp_path / "none.toml"))
    with pytest.raises(PacsError, match="WORKBENCH_ARCHIVES"):
        read_archives()


def test_an_unknown_archive_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(PacsError, match="It has: main, old"):
        parse(tmp_path, WEB + DIMSE).archive("mian")


def test_certificates_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    make(tmp_path)
    found = parse(tmp_path, DIMSE + 'ca = "ca.pem"\n')
    assert found.archive("old").ca == tmp_path / "ca.pem"
    open_archive("old", found)
    for text in (DIMSE + 'ca = "gone.pem"\n', WEB + 'ca = "gone.pem"\n'):
        with pytest.raises(PacsError, match="ca"):
            open_archive("old" if "old" in text else "main", parse(tmp_path, text))


def test_a_plain_connection_warns_unless_it_stays_on_this_machine(tmp_path: Path) -> None:
    plain = parse(tmp_path, DIMSE + "tls = false\n").archive("old")
    assert "not encrypted" in warning_of(plain)
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        assert warning_of(plain.model_copy(update={"host": host})) == ""
    assert warning_of(parse(tmp_path, DIMSE).archive("old")) == ""


class _Keys(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return {("fewshot-workbench", "main"): "me:secret"}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


def test_credentials_come_from_the_environment_or_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIN_PACS", "me:other")
    assert credential("main", "env:MAIN_PACS") == "me:other"
    before = keyring.get_keyring()
    keyring.set_keyring(_Keys())
    try:
        assert credential("main", "keyring:main") == "me:secret"
        with pytest.raises(PacsError, match="keyring set fewshot-workbench gone"):
            credential("main", "keyring:gone")
    finally:
        keyring.set_keyring(before)
    monkeypatch.delenv("MAIN_PACS")
    with pytest.raises(PacsError, match="MAIN_PACS"):
        credential("main", "env:MAIN_PACS")


def test_a_bearer_token_goes_into_the_header_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "abc.def")
    archive = open_archive("main", parse(tmp_path, WEB + 'auth = "bearer"\nsecret = "env:TOKEN"\n'))
    assert archive._session.headers["Authorization"] == "Bearer abc.def"  # type: ignore[attr-defined]
    assert "abc.def" not in repr(archive) + repr(vars(archive)["_settings"])
