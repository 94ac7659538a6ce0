"""Which version of each reader is active at this site: built-in readers, versions that were switched on, plan readers.

Asked before every work item and routing step; answered from memory until the journal of switches or the trusted keys
change on disk.
"""

import logging
import threading

from coread.app.settings import Settings
from coread.domain.errors import Misconfigured
from coread.models.journal import BUILT_IN, NONE, Switch
from coread.models.trust import SignatureRule, SignatureStatus
from coread.models.versions import Release, SiteModels
from coread.readers.registry import ReaderListing, ReaderProblem, reader_listing, reader_of_package
from coread.store import Store

log = logging.getLogger(__name__)

SWITCH_EVENT = "models.switched"
_Stamp = tuple[tuple[int, int, int], int]


def site_models(settings: Settings) -> SiteModels:
    """Return the versions of this site, those of the installed code among them."""
    return SiteModels(settings.folder, {item.card.reader_id: item.folder for item in reader_listing().readers})


class SiteReaders:
    """The readers of this site as they are switched now; safe to ask from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._rule = settings.require_signature
        self._base = reader_listing()
        self.models = SiteModels(settings.folder, {item.card.reader_id: item.folder for item in self._base.readers})
        self._lock = threading.Lock()
        self._known: tuple[_Stamp, ReaderListing, tuple[tuple[str, str], ...]] | None = None

    def listing(self) -> ReaderListing:
        """Return every reader in its active version. One that may not run is a problem, never replaced."""
        return self._look()[1]

    def warnings(self) -> tuple[tuple[str, str], ...]:
        """Return (reader id, what to see to) of versions that run but whose signature is not as it should be."""
        return self._look()[2]

    def _look(self) -> tuple[_Stamp, ReaderListing, tuple[tuple[str, str], ...]]:
        with self._lock:
            stamp = self._stamp()
            if self._known is None or self._known[0] != stamp:
                self._known = (stamp, *self._resolve())
            return self._known

    def _stamp(self) -> _Stamp:
        trust = self.models.trust.folder
        return self.models.journal.stamp(), trust.stat().st_mtime_ns if trust.is_dir() else 0

    def _resolve(self) -> tuple[ReaderListing, tuple[tuple[str, str], ...]]:
        try:
            active = {name: to for name, to in self.models.journal.active().items() if to not in (BUILT_IN, NONE)}
        except Misconfigured as problem:
            return self._without(str(problem)), ()
        found = {item.card.reader_id: item for item in self._base.readers}
        problems, warnings = list(self._base.problems), []
        for reader_id, digest in sorted(active.items()):
            base = found.pop(reader_id, None)
            try:
                folder = self.models.folder / reader_id / digest
                found[reader_id] = reader_of_package(folder, [base] if base else [])
                warnings += self._prove(Release(reader_id, found[reader_id].card.version, digest, folder))
            except Misconfigured as problem:
                found.pop(reader_id, None)
                log.error("the active version of %s may not run: %s", reader_id, problem)
                problems.append(ReaderProblem(reader_id, str(folder), str(problem)))
        return ReaderListing(tuple(found[key] for key in sorted(found)), tuple(problems)), tuple(warnings)

    def _prove(self, release: Release) -> list[tuple[str, str]]:
        package = self.models.prove(release, self._rule, running=True)
        standing = self.models.standing(release, package)
        if self._rule is SignatureRule.OFF or standing.status is SignatureStatus.TRUSTED:
            return []
        log.warning("%s %s: %s", release.reader_id, release.version, standing.detail)
        return [(release.reader_id, standing.detail)]

    def _without(self, told: str) -> ReaderListing:
        """Nobody knows which version is active: no reader that has other versions here may run."""
        named = {path.parent.parent.name for path in self.models.folder.glob("*/*/card.toml")}
        kept = tuple(item for item in self._base.readers if item.card.reader_id not in named)
        problems = tuple(ReaderProblem(name, str(self.models.folder / name), told) for name in sorted(named))
        log.error("%s", told)
        return ReaderListing(kept, (*self._base.problems, *problems))


def record_switches(store: Store, models: SiteModels) -> int:
    """Bring every journalled switch into the history and the audit trail; what is there already stays alone.

    The journal is written first: after a crash in between, the next call adds what is missing.
    """
    told = {entry.detail for entry in store.history("") if entry.event == SWITCH_EVENT}
    missing = [change for change in models.journal.entries() if change.sentence() not in told]
    for change in missing:
        _record(store, change)
    return len(missing)


def _record(store: Store, change: Switch) -> None:
    store.add_history("", SWITCH_EVENT, change.sentence(), actor=change.actor)
    store.audit(change.actor, SWITCH_EVENT, target=change.reader_id, detail=change.sentence())
