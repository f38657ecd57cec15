"""Who may do what with a document: the access decision together with the policy's scopes."""

from __future__ import annotations

from uuid import UUID

from config.policy import AccessPolicy
from deployments.documents.schemas import UploadParameters
from domain.access import Caller, may_read, within_scope
from domain.errors import Forbidden
from stores.document_lists import Reach
from stores.documents import Document

FOR_OTHERS = "document.upload_for_others"


class Rights:
    """Answers by policy and access list. That a role has a permission at all was checked by the route."""

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
        """Raises `Forbidden` for a patient's record or an owner that the caller may not name."""
        named = parameters.patient
        if caller.role == "patient" and named is not None and f"self:{named}" not in caller.principals:
            raise Forbidden("You may upload only to your own record. Leave out `patient`, or name your own.")
        for_other = parameters.owner_id not in (None, UUID(caller.user_id))
        if for_other and not self._for_others(caller):
            raise Forbidden("You may not upload for somebody else. Leave out `owner_id`.")

    def _for_others(self, caller: Caller) -> bool:
        return caller.granted(FOR_OTHERS) and self._policy.allows(caller.role, FOR_OTHERS)

    def check_version(self, caller: Caller, document: Document) -> None:
        """Raises `Forbidden` unless the caller may replace the document's content."""
        scope = self._policy.scope(caller.role, "document.version")
        own = self.owns(caller, document)
        patients = document.metadata.patient is not None and self.reads(caller, document)
        if not (scope == "blind" or (scope == "own" and own) or (scope == "readable" and (own or patients))):
            raise Forbidden("You may add versions only to documents of your own, or of patients you treat.")

    def check_delete(self, caller: Caller, document: Document) -> None:
        """Raises `Forbidden` unless the caller may delete the document, alone."""
        match self._policy.scope(caller.role, "document.delete"):
            case "own" if self.owns(caller, document):
                return
            case "department" if _in_department(caller, document):
                return
            case "reasoned":
                raise Forbidden(
                    "Two persons must agree to this deletion; ask the document's owner to delete it."
                )
        raise Forbidden("You may delete only documents of your own.")

    def _principals(self, caller: Caller) -> frozenset[str]:
        scope = self._policy.scope(caller.role, "document.read")
        return within_scope(caller, scope) if scope else frozenset()


def _in_department(caller: Caller, document: Document) -> bool:
    return (
        caller.role == "department_admin"
        and f"department:{document.metadata.department}" in caller.principals
    )
