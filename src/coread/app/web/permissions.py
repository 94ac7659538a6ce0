"""Who may do what: one literal table of roles and permissions. Every route names one permission (tested)."""

from enum import StrEnum


class Role(StrEnum):
    """What kind of user somebody is; exactly one each."""

    RADIOLOGIST = "radiologist"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """One thing that a route lets somebody do."""

    WORKLIST = "worklist.read"
    CASE = "case.read"
    EXPORT = "case.export"
    VERDICT = "case.verdict"
    CORRECT = "case.correct"
    STORY = "story.read"
    READERS = "readers.read"
    DESTINATIONS = "destinations.read"
    RESEND = "destinations.resend"
    HEALTH = "health.read"
    ACCOUNT = "account.own"
    USERS = "users.manage"
    AUDIT = "audit.read"
    STORE_IMAGES = "images.store"


MEANINGS: dict[Permission, str] = {
    Permission.WORKLIST: "see the worklist",
    Permission.CASE: "open a case and see its images and findings",
    Permission.EXPORT: "download images and result objects",
    Permission.VERDICT: "accept, reject or edit a finding",
    Permission.CORRECT: "correct an outline or a number of a result",
    Permission.STORY: "read why a study was or was not analysed",
    Permission.READERS: "see the readers and their cards",
    Permission.DESTINATIONS: "see where results go and what is waiting",
    Permission.RESEND: "send a dead letter again",
    Permission.HEALTH: "see the health of the system",
    Permission.ACCOUNT: "change the own password, make API tokens",
    Permission.USERS: "add and disable users, reset passwords",
    Permission.AUDIT: "read the audit trail",
    Permission.STORE_IMAGES: "send images in over STOW-RS",
}

_EVERYBODY = frozenset(
    {
        Permission.WORKLIST,
        Permission.STORY,
        Permission.READERS,
        Permission.DESTINATIONS,
        Permission.HEALTH,
        Permission.ACCOUNT,
    }
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.RADIOLOGIST: _EVERYBODY
    | {Permission.CASE, Permission.EXPORT, Permission.VERDICT, Permission.CORRECT, Permission.STORE_IMAGES},
    Role.ADMINISTRATOR: frozenset(Permission),
    # An auditor follows what happened, but does not see images and changes nothing.
    Role.AUDITOR: _EVERYBODY | {Permission.AUDIT},
}


def permissions_of(role: str) -> frozenset[Permission]:
    """Return what a role may do; a role that is not in the table may do nothing."""
    return ROLE_PERMISSIONS[Role(role)] if role in set(Role) else frozenset()
