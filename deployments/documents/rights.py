"""Who may do what with a document: the access decision together with the policy's scopes."""

from __future__ import annotations

from uuid import UUID

from config.policy import AccessPolicy
from deployments.documents.schemas import UploadParameters
from domain.access import Caller, Sensitivity, may_read, within_scope
from domain.errors import FieldError, Forbidden, Invalid
from stores.document_lists import Reach
from stores.documents import Document

FOR_OTHERS = "document.upload_for_others"
DEIDENTIFY = "document.deidentify"


class Rights:
    """Answers by policy and access list. That a role, or a key, has the route's own permission was checked before."""

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy

    def reach(self, caller: Caller) -> Reach:
        """Which documents the caller's lists show."""
        follows = self._for_others(caller)
        return Reach(self._principals(caller), UUID(caller.user_id) if follows else None)

    def reads(self, caller: Caller, document: Document) -> bool:
        """Content, text and what was found in it."""
        return may_read(self._principals(caller), document.access)

    def sees(self, caller: Caller, document: Document) -> bool:
        """Metadata and status: also those who uploaded it for somebody else."""
        follows = self._for_others(caller) and str(document.uploaded_by) == caller.user_id
        return follows or self.reads(caller, document)

    def knows(self, caller: Caller, document: Document) -> bool:
        """Whether an operation on the document may be refused by 403; to others it is missing."""
        scope = self._policy.scope(caller.role, "document.version")
        return scope == "blind" or self.sees(caller, document) or _in_department(caller, document)

    def owns(self, caller: Caller, document: Document) -> bool:
        """Whether the caller is the document's owner or uploaded it."""
        return caller.user_id in (str(document.owner_id), str(document.uploaded_by))

    def check_upload(self, caller: Caller, parameters: UploadParameters) -> None:
        """Raises `Forbidden` for a record, department, owner or sensitivity that is not the caller's to name."""
        named = parameters.patient
        if caller.role == "patient" and named is not None and f"self:{named}" not in caller.principals:
            raise Forbidden("You may upload only to your own record. Leave out `patient`, or name your own.")
        if caller.role == "patient" and parameters.department is not None:
            raise Forbidden("You may not put documents into a department. Leave out `department`.")
        for_other = parameters.owner_id not in (None, UUID(caller.user_id))
        if for_other and not self._for_others(caller):
            raise Forbidden("You may not upload for somebody else. Leave out `owner_id`.")
        if parameters.sensitivity is Sensitivity.DEIDENTIFIED:
            if self._scope(caller, DEIDENTIFY) is None:
                raise Forbidden("You may not open documents to researchers. Leave out `sensitivity`.")
            _check_nobodys(named)

    def _for_others(self, caller: Caller) -> bool:
        return self._scope(caller, FOR_OTHERS) is not None

    def _scope(self, caller: Caller, permission: str) -> str | None:
        """Within what the caller may do that; None when the role, or the API key that is used, does not have it."""
        return self._policy.scope(caller.role, permission) if caller.granted(permission) else None

    def check_version(self, caller: Caller, document: Document) -> None:
        """Raises `Forbidden` unless the caller may replace the document's content."""
        scope = self._scope(caller, "document.version")
        own = self.owns(caller, document)
        patients = document.metadata.patient is not None and self.reads(caller, document)
        if not (scope == "blind" or (scope == "own" and own) or (scope == "readable" and (own or patients))):
            raise Forbidden("You may add versions only to documents of your own, or of patients you treat.")

    def check_share(self, caller: Caller, document: Document) -> None:
        """Raises `Forbidden` unless the caller may say who reads the document."""
        if not self._has(caller, "document.share", document):
            raise Forbidden("You may share only documents of your own.")

    def check_deidentify(self, caller: Caller, document: Document) -> None:
        """Raises `Forbidden`, or `Invalid` for what names a patient, unless it may be opened to researchers."""
        if not self._has(caller, DEIDENTIFY, document):
            raise Forbidden("You may not open this document to researchers.")
        _check_nobodys(document.metadata.patient)

    def check_delete(self, caller: Caller, document: Document) -> None:
        """Raises `Forbidden` unless the caller may delete the document, alone."""
        if self._has(caller, "document.delete", document):
            return
        if self._scope(caller, "document.delete") == "reasoned":
            raise Forbidden("Two persons must agree to this deletion; ask the document's owner to delete it.")
        raise Forbidden("You may delete only documents of your own.")

    def _has(self, caller: Caller, permission: str, document: Document) -> bool:
        match self._scope(caller, permission):
            case "own":
                return self.owns(caller, document)
            case "department":
                return _in_department(caller, document)
        return False

    def _principals(self, caller: Caller) -> frozenset[str]:
        scope = self._policy.scope(caller.role, "document.read")
        return within_scope(caller, scope) if scope else frozenset()


def _in_department(caller: Caller, document: Document) -> bool:
    return (
        caller.role == "department_admin"
        and f"department:{document.metadata.department}" in caller.principals
    )


def _check_nobodys(patient: str | None) -> None:
    if patient is not None:
        error = FieldError("sensitivity", "identified", "A document with a patient is not de-identified.")
        raise Invalid(
            "This document names its patient. Upload a de-identified copy without one.",
            code="document.identified",
            errors=(error,),
        )
