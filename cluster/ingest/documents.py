"""Files of a bulk load as documents: the same code that takes uploads in, called without HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from cluster.file_pieces import pieces, sha256
from cluster.ingest.listing import PatientFrom, patient_of
from cluster.ingest.load import Standing, Stored, printable
from config.policy import AccessPolicy
from deployments.documents.bodies import PlainUpload
from deployments.documents.rights import Rights
from deployments.documents.schemas import UploadParameters
from deployments.documents.uploads import Uploads
from domain.access import Access, Caller, default_access
from domain.documents import DocumentType
from domain.errors import Forbidden, Invalid
from domain.jobs import QUARANTINES, REJECTIONS, Lane
from stores.bulk import BulkReader

PERMISSION = "bulk.ingest"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is said about every document of one load."""

    root: Path
    owner_id: UUID
    department: str | None = None
    document_type: DocumentType | None = None
    patient_from: PatientFrom = PatientFrom.NONE
    patient_system: str | None = None

    def parameters(self, file: Path) -> UploadParameters:
        """The metadata of `file`; raises `Invalid` when its record number cannot be one."""
        try:
            return UploadParameters(
                filename=printable(file.name),
                document_type=self.document_type,
                document_date=None,
                patient=patient_of(file, self.root, self.patient_from, self.patient_system),
                department=self.department,
                owner_id=self.owner_id,
            )
        except ValidationError as error:
            named = ", ".join(str(item["loc"][0]) for item in error.errors(include_input=False))
            raise Invalid(f"Its {named} cannot be used. Rename the folder or the file.") from None


class BulkRights(Rights):
    """The right to upload for one owner, by a permission of its own, and no other right."""

    def __init__(self, policy: AccessPolicy, owner_id: UUID) -> None:
        super().__init__(policy)
        self._owner_id = owner_id

    def check_upload(self, caller: Caller, parameters: UploadParameters) -> None:
        """Raises `Forbidden` for every role without `bulk.ingest` and for any other owner."""
        if not self._policy.allows(caller.role, PERMISSION) or parameters.owner_id != self._owner_id:
            raise Forbidden("A bulk load makes documents for its owner only.")


class BulkDocuments:
    """`cluster.ingest.load.Documents` on the document service."""

    def __init__(self, uploads: Uploads, reader: BulkReader, caller: Caller, plan: Plan) -> None:
        self._uploads = uploads
        self._reader = reader
        self._caller = caller
        self._plan = plan

    async def store(self, file: Path) -> Stored:
        """Read it once to see whether it is there already, and only then write it: resuming is cheap."""
        parameters = self._plan.parameters(file)
        digest = await sha256(file)
        principals = default_access(
            str(self._plan.owner_id), patient=parameters.patient, department=parameters.department
        )
        access = Access(principals, parameters.sensitivity)
        known = await self._reader.known(self._plan.owner_id, parameters.patient, digest, access)
        if known is not None:
            return Stored(str(known), known=True)
        accepted = await self._uploads.create(
            self._caller, PlainUpload(parameters, pieces(file)), lane=Lane.BULK
        )
        return Stored(accepted.body["id"], known=accepted.body["duplicate"])

    async def standings(self, document_ids: Sequence[str]) -> Mapping[str, Standing]:
        """Reasons are in words: what happened, and what to do."""
        found = await self._reader.standings([UUID(document_id) for document_id in document_ids])
        return {
            str(document_id): Standing(standing.status, _words(standing.reason_code))
            for document_id, standing in found.items()
        }


def _words(code: str | None) -> str | None:
    if code is None:
        return None
    return " ".join((REJECTIONS | QUARANTINES).get(code, (f"The document could not be processed ({code}).",)))
