"""The page of roles and permissions, made from the access policy and the access decision: `docs/roles.md` is this text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from config.policy import AccessPolicy
from domain.access import RESEARCHERS, Access, Sensitivity, effective_principals
from domain.api_keys import NEVER

SCOPES = {
    "all": "without further condition",
    "own": "what the account itself owns, uploaded or made",
    "listed": "what the access list of a document opens to the account's principals",
    "readable": "own uploads, and documents of patients that the account may read",
    "deidentified": "de-identified documents only",
    "blind": "without reading the text",
    "reasoned": "only with a reason and a second person, for which there is no call yet: refused",
    "department": "within the account's departments, never oneself",
    "others": "anybody but oneself",
    "figures": "counts only",
}

PERMISSIONS = {
    "profile.self": "own profile, password, sessions, second factor",
    "apikey.manage": "own API keys",
    "document.upload": "upload; a patient only for the own record, into no department",
    "document.upload_for_others": "upload in another person's name, and follow what becomes of it",
    "document.version": "a new version of a document",
    "document.metadata": "change title, type or date; *no call yet*",
    "document.read": "metadata, status, original, text, entities",
    "document.list": "lists of documents",
    "document.export": "take many documents out; *no call yet*",
    "document.share": "see and change who may read a document, and its sensitivity",
    "document.deidentify": "open a document to all researchers",
    "document.delete": "remove a document",
    "search.query": "search and facets",
    "breakglass.start": "open and end emergency access to one patient's documents",
    "account.read": "see accounts",
    "role.approve": "give or refuse the role that somebody asks for",
    "role.assign": "give any role",
    "account.suspend": "suspend and activate",
    "account.unlock": "forget wrong passwords",
    "account.departments": "set the departments of an account",
    "account.own_record": "say which patient a person is",
    "treatment.manage": "begin, list and end treatment relations",
    "audit.read": "the audit trail: records, who saw a patient, signed heads",
    "audit.export": "the audit trail as CSV",
    "audit.own": "who saw the own record",
    "audit.figures": "counts of the audit trail",
    "processing.view": "how processing goes",
    "processing.operate": "retry, pause, resume",
    "webhook.manage": "webhooks; *no call yet*",
    "alert.manage": "alerts of saved searches; *no call yet*",
    "metrics.read": "metrics and operations",
    "bulk.ingest": "load folders in bulk",
}

KINDS = {
    "user": ("user:ID", "the account itself"),
    "role": ("role:NAME", "its approved role"),
    "department": ("department:NAME", "the departments that an administrator set"),
    "self": ("self:PATIENT", "the own record, set by an administrator, never by a registration"),
    "treating": ("treating:PATIENT", "a treatment relation, until it ends"),
    "breakglass": ("breakglass:PATIENT", "emergency access that is open in this session"),
}

ACCOUNT_FIELDS = (
    ("first_name last_name username specialty institution", "the owner, `account.read`", "the owner"),
    ("email", "the owner, `account.read`", "the owner, with the password; in force by its mailed link"),
    ("pending_email", "the owner", "the owner, as `email`"),
    (
        "role requested_role",
        "the owner, `account.read`",
        "asked for by a registration; `role.approve`, `role.assign`",
    ),
    ("status", "the owner, `account.read`", "`account.suspend`"),
    ("departments", "the owner, `account.read`", "`account.departments`"),
    ("own_record", "`account.read`", "`account.own_record`"),
    ("email_verified mfa_enabled", "the owner, `account.read`", "the owner, by a mailed link and by a code"),
    ("id created_at", "the owner, `account.read`", "nobody"),
    ("requested_at last_login_at", "`account.read`", "nobody"),
)
"""Fields of an account, who sees them, who writes them. Passwords, seeds, tokens and keys are shown to nobody again."""

DOCUMENT_FIELDS = (
    ("status stage progress eta_seconds failures reason pages unreadable_pages warnings", "the platform"),
    (
        "title document_type document_date patient department filename owner_id",
        "who uploads it, at the upload only; another owner needs `document.upload_for_others`",
    ),
    ("access", "`document.share`: `user:` and `department:` alone"),
    ("sensitivity", "who uploads it, and `document.share`; `deidentified` needs `document.deidentify`"),
    ("version", "`document.version`"),
    ("id revision media_type bytes sha256 created_at updated_at", "nobody"),
)
"""Metadata of a document and who writes it."""

FIELDS = """Whoever may read a document sees all its metadata. Who uploaded it in another person's name
(`document.upload_for_others`) sees the metadata and never the original, text or entities. A patient who asks who saw the
own record (`audit.own`) learns of each access when, what, who, in which role and, where only this record was shown, of which
document; addresses, queries and names are for `audit.read`. Jobs of processing (`processing.view`) name documents by id alone.
Fields that a request has and its row does not let the caller write are refused with 422."""

INTRODUCTION = """# Roles

An account has one role. This page is made from `config/access_policy.yaml`, the table that the platform itself decides
by (`make docs`); what the table does not name is not allowed.

## How a role is come by

A registration asks for one of {requestable}; any other is refused with 422.
The account begins as `patient`, whatever it asks for, and sees its own documents only. An administrator, or the
department's administrator, other than the person gives the role that is asked for or refuses it: `medsearch admin
approve`, `medsearch admin refuse`. An administrator gives any role: `medsearch admin role`. The owner is told by mail,
tokens of before are refused within a second, and the audit trail has it. The first administrator, and who administers
whom: [administration](administration.md). `service` is for programs of the platform; nobody can ask for it."""

RULES = """Without a permission the answer is 403 `access.forbidden`, before anything is looked up. With it, an object out
of reach answers as a missing one (404); one that the caller may know of, but not change, answers 403
([errors](errors.md)). An API key has the scopes that it was made with, as far as its owner's role has them, and never
{never}."""


def markdown() -> str:
    """The page `docs/roles.md`."""
    policy = AccessPolicy.load()
    requestable = ", ".join(f"`{role}`" for role in policy.requestable)
    never = ", ".join(f"`{name}`" for name in sorted(NEVER))
    return "\n".join(
        [
            INTRODUCTION.format(requestable=requestable),
            "",
            "## Permissions",
            "",
            *_permissions(policy),
            "",
            *_table(("within", "means"), ((f"`{name}`", text) for name, text in SCOPES.items())),
            "",
            RULES.format(never=never),
            "",
            "## Principals",
            "",
            "Who may read a document is decided by *principals*: what the platform knows of the account, never what a",
            "request says. Those that do not count for the role open nothing, were they left over from another one.",
            "",
            *_principals(policy),
            "",
            "## Sensitivity",
            "",
            "A document opens to an account that has one of the principals on its access list, as far as its sensitivity",
            "lets them count and the role has `document.read`. The same set is the filter of every search. Who may change",
            "list and sensitivity: [sharing](sharing.md).",
            "",
            *_sensitivities(),
            "",
            "## Fields",
            "",
            *_table(
                ("of an account", "seen by", "written by"),
                ((_codes(names), *who) for names, *who in ACCOUNT_FIELDS),
            ),
            "",
            *_table(
                ("of a document", "written by"), ((_codes(names), who) for names, who in DOCUMENT_FIELDS)
            ),
            "",
            FIELDS,
            "",
        ]
    )


def _permissions(policy: AccessPolicy) -> Iterator[str]:
    rows = (
        (f"`{name}`", PERMISSIONS[name], *(policy.scope(role, name) or "-" for role in policy.roles))
        for name in policy.table
    )
    return _table(("permission", "what for", *_words(policy.roles)), rows)


def _principals(policy: AccessPolicy) -> Iterator[str]:
    rows = (
        (f"`{form}`", text, *("yes" if kind in policy.kinds(role) else "-" for role in policy.roles))
        for kind, (form, text) in KINDS.items()
    )
    return _table(("principal", "from", *_words(policy.roles)), rows)


def _sensitivities() -> Iterator[str]:
    """Asked of the decision itself: a list with one principal of each kind, and one with nobody."""
    listed = {kind: RESEARCHERS if kind == "role" else f"{kind}:X" for kind in KINDS}
    rows = []
    for sensitivity in Sensitivity:
        counting = effective_principals(Access(frozenset(listed.values()), sensitivity))
        unlisted = effective_principals(Access(frozenset(), sensitivity))
        cells = (
            "unlisted" if one in unlisted else "yes" if one in counting else "-" for one in listed.values()
        )
        rows.append((f"`{sensitivity}`", *cells))
    forms = (RESEARCHERS if kind == "role" else form for kind, (form, _) in KINDS.items())
    yield from _table(("sensitivity", *(f"`{form}`" for form in forms)), rows)
    yield from ("", "`unlisted`: counts without standing on the list.")


def _codes(names: str) -> str:
    return " ".join(f"`{name}`" for name in names.split())


def _words(names: Iterable[str]) -> Iterator[str]:
    return (name.replace("_", " ") for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield "|" + "---|" * len(head)
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(markdown(), end="")
