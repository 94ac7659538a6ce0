"""What the commands do with model packages: prove one with the reader's code, look at all, switch and take back."""

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from coread.app.settings import Settings
from coread.app.site_models import record_switches
from coread.domain.errors import CoreadError, Misconfigured
from coread.models.errors import NoSuchVersion
from coread.models.golden import GoldenReport, check_golden
from coread.models.journal import NONE
from coread.models.locking import CARD, MODEL, claimed_identity, packed_records
from coread.models.package import PROCESS
from coread.models.trust import SignatureStatus
from coread.models.validations import validations_of
from coread.models.versions import Release, SiteModels
from coread.readers.registry import InstalledReader, reader_listing, reader_of_package


@dataclass(frozen=True, slots=True)
class Examined:
    """One version after every byte, its golden cases and its signature were looked at."""

    reader_id: str
    version: str
    digest: str
    folder: str
    active: bool
    sound: bool
    golden: str
    signature: str
    validations: int
    problem: str

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def actor_name() -> str:
    """Return who gives the command: the user of the operating system."""
    try:
        return f"command line ({getpass.getuser()})"
    except (OSError, KeyError):
        return f"command line (user {os.getuid()})"


def release_of(models: SiteModels, name: str) -> Release:
    """Return what a person named: a folder, ``reader``, ``reader@version`` or ``reader@digest``.

    A reader without a version is the one that is active, or the only one.
    """
    folder = Path(name)
    if (folder / CARD).is_file():
        return Release(*claimed_identity(folder), folder)
    reader_id, _, wanted = name.partition("@")
    active = models.active(reader_id)
    known = models.releases(reader_id)
    if not wanted and active == NONE and len(known) == 1:
        return known[0]
    if not wanted and active == NONE and known:
        raise NoSuchVersion(f"no version of {reader_id} is switched on; name one: {reader_id}@{known[-1].version}")
    return models.find(reader_id, wanted or active)


def examine_release(models: SiteModels, release: Release, programs: Sequence[Path] = ()) -> Examined:
    """Compare every byte, replay the golden cases, and look at signature and validation; problems become words."""
    from coread.models.session import open_session

    golden, signature, validations, problem, sound = "", "", 0, "", False
    try:
        session = open_session(release.folder / MODEL, release.folder / CARD, programs=programs)
        sound = True
        golden = golden_words(check_golden(session, release.folder / MODEL))
        packed_records(release.folder / MODEL)
        validations = len(validations_of(release.folder, release.digest, built_in=release.built_in))
        signature = models.standing(release, session.package).status.value
    except CoreadError as found:
        problem = str(found)
    active = models.active(release.reader_id) == release.name
    return Examined(
        release.reader_id,
        release.version,
        release.digest,
        str(release.folder),
        active,
        sound and not problem,
        golden,
        signature or SignatureStatus.NONE.value,
        validations,
        problem,
    )


def golden_words(report: GoldenReport) -> str:
    """Require the golden cases and say how they went."""
    report.require()
    left = f"; {report.left_to_reader} left to the reader's code" if report.left_to_reader else ""
    return f"{report.cases} cases, largest difference {report.worst_difference:.2g}{left}"


def code_check(settings: Settings) -> Callable[[Release], None]:
    """Return what proves a version with the reader's code, with the outside programs of this site."""
    return partial(prove_with_code, programs=settings.allowed_programs)


def prove_with_code(release: Release, programs: tuple[Path, ...] = ()) -> None:
    """Run a version with the reader's code before it may be switched on: golden cases and the conformance suite.

    Where no generated image fits the card, the golden cases alone speak. Raises Misconfigured with what fails.
    """
    from coread.engine.conformance import CheckStatus, check_reader
    from coread.engine.samples import sample_inputs
    from coread.engine.sessions import SessionSettings, open_reader

    installed = reader_with(release)
    open_reader(installed, SessionSettings(programs=programs).open)
    if (installed.model_folder / PROCESS).exists():
        return  # the suite would call the outside program dozens of times; its golden cases went through it
    try:
        sample_inputs(installed.card)
    except Misconfigured:
        return
    failed = [item for item in check_reader(installed) if item.status is CheckStatus.FAILED]
    if failed:
        raise Misconfigured(
            f"{release.reader_id} {release.version} does not keep the contract of readers with the code that is "
            f"installed here: {failed[0].name}: {failed[0].detail}. Nothing was switched."
        )


def reader_with(release: Release) -> InstalledReader:
    """Return the reader that this version makes with the installed code, or from its plan."""
    listed = reader_listing().readers
    if release.built_in:
        return next(item for item in listed if item.card.reader_id == release.reader_id)
    return reader_of_package(release.folder, listed)


def tell_history(settings: Settings, models: SiteModels) -> bool:
    """Bring the journal into the store's history, where there is a store; False: there is none yet."""
    from coread.app.opening import open_store

    if not (settings.folder / "studies").is_dir() and not settings.database_url:
        return False
    with open_store(settings) as store:
        record_switches(store, models)
    return True
