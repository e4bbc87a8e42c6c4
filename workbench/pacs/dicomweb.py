"""An archive that speaks DICOMweb: QIDO-RS through dicomweb-client, WADO-RS and STOW-RS byte for byte.

PS3.18 10.4 (retrieve), 10.5 (store), 10.6 (search).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from workbench.errors import PacsError
from workbench.imaging.dicomfile import quiet
from workbench.pacs.archive import (
    Failure,
    Limits,
    Progress,
    Query,
    Retrieved,
    Selection,
    SeriesMatch,
    Stored,
    StudyMatch,
    fits_series,
    fits_study,
    is_uid,
    no_progress,
)
from workbench.pacs.arrivals import Arrivals
from workbench.pacs.config import DicomWebSettings
from workbench.pacs.matches import (
    INSTANCE_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    Instance,
    by_number,
    series_filters,
    series_match,
    study_filters,
    study_match,
)
from workbench.pacs.multipart import boundary_of, first_part, one_part
from workbench.pacs.part10 import Part10, chunks, read_part10
from workbench.pacs.session import access_error, open_session, speaking, tls_error

_ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_BLOCK = 2**16
_LOST_IN_A_ROW = 3
"""After so many instances without an answer the archive is taken to be gone."""
_MOST_ANSWERS = 100_000
_NO_ANSWER = "The archive gave no answer."


class DicomWebArchive:
    """See `Archive`; the credential is fetched when the object is made.

    Args:
        name: in the archives file.
        settings: see there.

    Raises:
        PacsError: the credential cannot be had.
    """

    def __init__(self, name: str, settings: DicomWebSettings) -> None:
        self._name, self._settings = name, settings
        self._session = open_session(name, settings)
        self._client = DICOMwebClient(settings.url, session=self._session, timeout=settings.timeout)
        self._client.set_http_retry_params(retry=False)

    @property
    def name(self) -> str:
        """See `Archive.name`."""
        return self._name

    def echo(self) -> None:
        """See `Archive.echo`; DICOMweb has no echo, so one study is asked for."""
        with speaking(self._name, self._settings):
            self._client.search_for_studies(fields=["StudyInstanceUID"], limit=1)

    @quiet()
    def find_studies(self, query: Query) -> tuple[StudyMatch, ...]:
        """See `Archive.find_studies`."""
        answers = self._search(
            lambda offset: self._client.search_for_studies(
                fields=list(STUDY_KEYS), search_filters=study_filters(query), limit=query.limit, offset=offset
            ),
            "StudyInstanceUID",
            query.limit,
        )
        found = [match for match in map(study_match, answers) if fits_study(query, match)]
        return tuple(sorted(found, key=lambda match: match.date, reverse=True)[: query.limit])

    @quiet()
    def find_series(self, query: Query) -> tuple[SeriesMatch, ...]:
        """See `Archive.find_series`."""
        answers = self._search(
            lambda offset: self._client.search_for_series(
                query.study,
                fields=list(SERIES_KEYS),
                search_filters=series_filters(query),
                limit=query.limit,
                offset=offset,
            ),
            "SeriesInstanceUID",
            query.limit,
        )
        found = [series_match(answer, query.study) for answer in answers]
        return tuple(sorted((one for one in found if fits_series(query, one)), key=by_number)[: query.limit])

    @quiet()
    def retrieve(
        self,
        selection: Selection,
        folder: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        progress: Progress = no_progress,
    ) -> Retrieved:
        """See `Archive.retrieve`."""
        listing = self._instances(selection)
        arrivals = Arrivals(self._name, listing, folder, limits, progress)
        lost = 0
        for instance in arrivals.wanted(listing):
            try:
                reason = self._fetch(selection.study, instance, arrivals)
            except PacsError:
                if arrivals.inbox.files:
                    break
                raise
            if arrivals.full:
                break
            lost = lost + 1 if reason == _NO_ANSWER else 0
            if reason:
                arrivals.fail(instance.uid, reason)
            if lost == _LOST_IN_A_ROW:
                break
        return arrivals.result()

    @quiet()
    def store(self, files: Sequence[Path], progress: Progress = no_progress) -> Stored:
        """See `Archive.store`."""
        failed: list[Failure] = []
        for done, path in enumerate(files, start=1):
            part10 = read_part10(path)
            try:
                reason = self._send(part10) if part10 else "It is not a DICOM file."
            except PacsError as error:
                # What is stored already must not be forgotten over the rest.
                if done - 1 == len(failed):
                    raise
                failed += [Failure(left.name, error.reason) for left in files[done - 1 :]]
                break
            if reason:
                failed.append(Failure(path.name, reason))
            progress(done, len(files))
        return Stored(len(files) - len(failed), tuple(failed))

    def _instances(self, selection: Selection) -> list[Instance]:
        query = Query(study=selection.study, limit=_MOST_ANSWERS)
        wanted = [selection.series] if selection.series else [one.uid for one in self.find_series(query)]
        return [instance for series in wanted for instance in self._of_series(selection.study, series)]

    def _of_series(self, study: str, series: str) -> list[Instance]:
        answers = self._search(
            lambda offset: self._client.search_for_instances(
                study, series, fields=list(INSTANCE_KEYS), offset=offset
            ),
            "SOPInstanceUID",
            _MOST_ANSWERS,
        )
        return [
            Instance(series, str(answer.SOPInstanceUID), str(answer.get("SOPClassUID") or ""))
            for answer in answers
        ]

    def _search(
        self, ask: Callable[[int], list[dict[str, dict[str, Any]]]], key: str, limit: int
    ) -> list[Dataset]:
        """All answers, page by page: archives may return fewer than there are (PS3.18 8.3.4.4)."""
        found: dict[str, Dataset] = {}
        while len(found) < limit:
            before = len(found)
            with speaking(self._name, self._settings):
                for item in ask(before):
                    answer = Dataset.from_json(item)
                    # Addresses are made of UIDs, so nothing else may pass for one.
                    if not is_uid(uid := str(answer[key].value)):
                        raise ValueError("not a UID")
                    found.setdefault(uid, answer)
            if len(found) == before:
                break
        return list(found.values())

    def _fetch(self, study: str, instance: Instance, arrivals: Arrivals) -> str:
        """Retrieve one instance; why it could not be, or empty."""
        address = f"{self._settings.url}/studies/{study}/series/{instance.series}/instances/{instance.uid}"
        try:
            with self._session.get(
                address, headers={"Accept": _ANY_SYNTAX}, stream=True, timeout=self._settings.timeout
            ) as response:
                self._check_access(response)
                if response.status_code != 200:
                    return f"The archive answered {response.status_code} ({response.reason})."
                boundary = boundary_of(response.headers.get("Content-Type", ""))
                blocks = response.iter_content(_BLOCK)
                path = arrivals.take(instance.uid, first_part(blocks, boundary) if boundary else blocks)
        except requests.exceptions.SSLError:
            raise tls_error(self._name) from None
        except requests.RequestException:
            return _NO_ANSWER
        except ValueError:
            return "What the archive sent is cut short or no DICOM object."
        if path is not None:
            sent = read_part10(path)
            if sent is None or sent.instance != instance.uid:
                arrivals.inbox.drop(path)
                return "The archive sent something else."
        return ""

    def _send(self, file: Part10) -> str:
        """Store one file; why it could not be, or empty."""
        boundary = secrets.token_hex(16)
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        with speaking(self._name, self._settings):
            response = self._session.post(
                f"{self._settings.url}/studies",
                data=one_part(chunks(file.path), boundary.encode()),
                headers={"Content-Type": kind, "Accept": "application/dicom+json"},
                timeout=self._settings.timeout,
            )
            self._check_access(response)
            if response.status_code not in (200, 202, 409):
                return f"The archive answered {response.status_code} ({response.reason})."
            answer = Dataset.from_json(response.json()) if response.content else Dataset()
        failures = answer.get("FailedSOPSequence") or []
        if failures:
            return f"The archive refused it (reason 0x{int(failures[0].get('FailureReason') or 0):04X})."
        stored = [
            str(one.get("ReferencedSOPInstanceUID")) for one in answer.get("ReferencedSOPSequence") or []
        ]
        if response.status_code == 409 or (stored and file.instance not in stored):
            return "The archive did not store it."
        return ""

    def _check_access(self, response: requests.Response) -> None:
        if response.status_code in (401, 403):
            raise access_error(self._name, self._settings, response.status_code)
