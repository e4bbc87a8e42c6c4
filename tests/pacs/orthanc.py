"""A real Orthanc of the test's own: temporary configuration and storage, free ports, ended for sure."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE, OURS = "TESTPACS", "WORKBENCH"
USER, PASSWORD = "reader", "correct-horse"
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Orthanc:
    """Where the running server listens.

    Attributes:
        http, dicom: ports on loopback.
    """

    http: int
    dicom: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.http}"


def binary() -> str:
    """The server's program; the test is skipped where there is none."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if found is None or not PLUGIN.is_file():
        pytest.skip("no Orthanc with DICOMweb here (Debian: orthanc, orthanc-dicomweb)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, receiver_port: int = 0, tls: Path | None = None) -> Iterator[Orthanc]:
    """Start the server and end it, whatever happens in between.

    Args:
        folder: for its configuration, database and log.
        receiver_port: where our receiver will listen, known to it as the modality ``workbench``.
        tls: folder with ``ca.pem``, ``server.pem`` and ``server.key`` for DICOM over TLS.
    """
    program = binary()
    http, dicom = free_port(), free_port()
    settings: dict[str, Any] = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": TITLE,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowFind": False,
        "DicomAlwaysAllowGet": False,
        "DicomAlwaysAllowMove": False,
        "DicomModalities": {
            "workbench": {
                "AET": OURS,
                "Host": "127.0.0.1",
                "Port": receiver_port or 104,
                "AllowEcho": True,
                "AllowFind": True,
                "AllowGet": True,
                "AllowMove": True,
                "AllowStore": True,
            }
        },
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "OverwriteInstances": True,
        "JobsHistorySize": 2,
    }
    if tls is not None:
        settings |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(tls / "server.pem"),
            "DicomTlsPrivateKey": str(tls / "server.key"),
            "DicomTlsTrustedCertificates": str(tls / "ca.pem"),
            "DicomTlsRemoteCertificateRequired": False,
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            server = Orthanc(http, dicom)
            _await(process, server, folder / "log.txt")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], server: Orthanc, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if requests.get(f"{server.url}/system", auth=(USER, PASSWORD), timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    pytest.fail(f"Orthanc did not start: {log.read_text()[-2000:]}")
