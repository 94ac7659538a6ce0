"""Versions at a site: installed whole, switched on only when proved, journalled with who and when, taken back."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coread.models.errors import (
    BadSignature,
    BrokenJournal,
    BrokenLineage,
    DamagedPackage,
    GoldenMismatch,
    NoSuchVersion,
    NotValidated,
    UntrustedPackage,
)
from coread.models.journal import BUILT_IN, JOURNAL, NONE
from coread.models.lineage import StepRecord, sha256_of, write_record
from coread.models.locking import LockPlan, lock_release, packed_records
from coread.models.package import PackagedFile, package_digest, verify_package
from coread.models.sbom import read_sbom
from coread.models.trust import SignatureRule
from coread.models.validations import attach_validation, validations_of
from coread.models.versions import Release, Request, SiteModels
from tests.models.releases import key_pair, release, validation
from tests.models.tiny_reader import write_tiny_reader

ASK = Request("tests", "a test", SignatureRule.OFF)


@pytest.fixture
def site(tmp_path: Path) -> SiteModels:
    built_in = write_tiny_reader(tmp_path / "code/tiny_square")
    return SiteModels(tmp_path / "site", {"tiny_square": built_in})


def ready(site: SiteModels, folder: Path, version: str, a: float = 1.0) -> Release:
    """Install a version with a validation of it."""
    locked = release(folder, version=version, a=a)
    installed = site.install(folder)
    attach_validation(
        installed.folder, locked.package.digest, validation(folder.parent / f"{folder.name}-v", locked.package.digest)
    )
    return installed


def test_an_installed_version_is_the_same_bytes_and_installing_twice_is_once(site: SiteModels, tmp_path: Path) -> None:
    locked = release(tmp_path / "r")
    first, again = site.install(tmp_path / "r"), site.install(tmp_path / "r")
    assert first == again
    assert verify_package(first.folder / "model", first.folder / "card.toml").digest == locked.package.digest
    assert site.active("tiny_square") == BUILT_IN


def test_installing_again_mends_a_version_that_was_damaged_and_clears_what_a_kill_left(
    site: SiteModels, tmp_path: Path
) -> None:
    installed = ready(site, tmp_path / "a", "1.1.0")
    (installed.folder / "model/network.onnx").write_bytes(b"other")
    left_over = installed.folder.parent / ".incoming-killed"
    (left_over / "model").mkdir(parents=True)
    assert site.install(tmp_path / "a") == installed
    site.prove(installed, SignatureRule.OFF)
    assert len(validations_of(installed.folder, installed.digest)) == 1
    assert [path.name for path in installed.folder.parent.iterdir()] == [installed.digest]


@pytest.mark.parametrize(
    "name",
    [
        "model/network.onnx", "model/calibration.json", "model/golden/noise.npz", "model/sbom.json",
        "model/manifest.json", "card.toml",
    ],
)  # fmt: skip
def test_any_changed_byte_is_refused_and_nothing_is_left(site: SiteModels, tmp_path: Path, name: str) -> None:
    release(tmp_path / "r")
    path = tmp_path / "r" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedPackage, match=Path(name).name):
        site.install(tmp_path / "r")
    assert list(site.folder.glob("*/*")) == []


@pytest.mark.parametrize("damage", ["missing", "extra", "link"])
def test_missing_extra_and_linked_files_are_refused(site: SiteModels, tmp_path: Path, damage: str) -> None:
    release(tmp_path / "r")
    model = tmp_path / "r/model"
    if damage == "missing":
        (model / "sbom.json").unlink()
    elif damage == "extra":
        (model / "run.py").write_text("print('hello')")
    else:
        (model / "golden/noise.npz").rename(tmp_path / "noise.npz")
        (model / "golden/noise.npz").symlink_to(tmp_path / "noise.npz")
    with pytest.raises(DamagedPackage):
        site.install(tmp_path / "r")
    assert list(site.folder.glob("*/*")) == []


def test_a_package_cannot_choose_a_place_outside_the_site(site: SiteModels, tmp_path: Path) -> None:
    """Everything in it fits together: only its name leads elsewhere."""
    release(tmp_path / "r")
    card, path = tmp_path / "r/card.toml", tmp_path / "r/model/manifest.json"
    card.write_text(card.read_text().replace('reader_id = "tiny_square"', 'reader_id = "../../outside"'))
    body = json.loads(path.read_text())
    card_sha256 = sha256_of(card)
    files = tuple(PackagedFile(name, digest) for name, digest in body["files"].items())
    digest = package_digest("../../outside", body["version"], card_sha256, files)
    path.write_text(json.dumps(body | {"reader_id": "../../outside", "card_sha256": card_sha256, "digest": digest}))
    with pytest.raises(DamagedPackage, match="reader_id"):
        site.install(tmp_path / "r")
    assert not (tmp_path / "outside").exists()


def test_a_version_without_validation_is_not_switched_on(site: SiteModels, tmp_path: Path) -> None:
    release(tmp_path / "r")
    installed = site.install(tmp_path / "r")
    with pytest.raises(NotValidated, match="no validation record"):
        site.switch(installed, ASK)
    assert site.journal.entries() == ()


def test_a_validation_of_other_bytes_counts_for_nothing(site: SiteModels, tmp_path: Path) -> None:
    release(tmp_path / "r")
    installed = site.install(tmp_path / "r")
    other = validation(tmp_path / "v", "0" * 64)
    with pytest.raises(NotValidated, match="another digest"):
        attach_validation(installed.folder, installed.digest, other)
    with pytest.raises(NotValidated, match="another digest"):
        site.switch(installed, Request("tests", rule=SignatureRule.OFF, validation=other))
    assert validations_of(installed.folder, installed.digest) == ()


def test_a_package_does_not_vouch_for_itself(site: SiteModels, tmp_path: Path) -> None:
    """What its maker lays beside it is not installed: the site attaches what it trusts."""
    digest = release(tmp_path / "r").package.digest
    (tmp_path / "r/validation.json").write_text(json.dumps({"package_digest": digest, "cohorts": []}))
    attach_validation(tmp_path / "r", digest, validation(tmp_path / "v", digest))
    (tmp_path / "r/validation/link").symlink_to(tmp_path)
    installed = site.install(tmp_path / "r")
    assert sorted(path.name for path in installed.folder.iterdir()) == [
        "README.md",
        "card.toml",
        "model",
        "record.json",
    ]
    (installed.folder / "validation.json").write_text(json.dumps({"package_digest": digest, "cohorts": []}))
    with pytest.raises(NotValidated, match="no validation record"):
        site.switch(installed, ASK)
    assert validations_of(installed.folder, digest) == ()
    assert len(validations_of(installed.folder, digest, built_in=True)) == 1


def test_the_record_that_came_with_the_installed_code_counts(site: SiteModels, tmp_path: Path) -> None:
    site.switch(ready(site, tmp_path / "a", "1.1.0"), ASK)
    built_in = site.find("tiny_square", BUILT_IN)
    (built_in.folder / "validation.json").write_text(json.dumps({"package_digest": built_in.digest, "cohorts": []}))
    assert site.switch(built_in, ASK).change.validation


@pytest.mark.parametrize("name", ["report.json", "record.json", "", "validation"])
def test_links_in_place_of_validations_are_refused(site: SiteModels, tmp_path: Path, name: str) -> None:
    release(tmp_path / "r")
    installed = site.install(tmp_path / "r")
    made = validation(tmp_path / "v", installed.digest)
    kept = attach_validation(installed.folder, installed.digest, made).folder
    linked = kept.parent if name == "validation" else kept / name
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotValidated, match="link"):
        validations_of(installed.folder, installed.digest)
    with pytest.raises(NotValidated, match="link"):
        site.switch(installed, ASK)
    if name.endswith("json"):
        (made / name).rename(tmp_path / "other")
        (made / name).symlink_to(tmp_path / "other")
        with pytest.raises(NotValidated, match="link"):
            site.switch(installed, Request("tests", rule=SignatureRule.OFF, validation=made))


def test_a_half_attached_record_is_none(site: SiteModels, tmp_path: Path) -> None:
    installed = ready(site, tmp_path / "a", "1.1.0")
    (kept,) = validations_of(installed.folder, installed.digest)
    (kept.folder.parent / ".incoming-0").mkdir()
    (kept.folder.parent / ".incoming-0/record.json").write_text("{")
    assert validations_of(installed.folder, installed.digest) == (kept,)


def cohort(folder: Path, digest: str, name: str, passed: bool | None) -> Path:
    """Write a validation of its own cohort: its record has a digest of its own."""
    made = validation(folder, digest, passed=passed)
    body = json.loads((made / "report.json").read_text()) | {"cohorts": [{"name": name}]}
    (made / "report.json").write_text(json.dumps(body))
    write_record(made, "validate", inputs={"package": digest}, outputs=["report.json"])
    return made


@pytest.mark.parametrize("number", range(3))
def test_a_record_without_criteria_never_outvotes_a_failed_one(site: SiteModels, tmp_path: Path, number: int) -> None:
    """Whatever the order of their names is; only other criteria that were met do."""
    release(tmp_path / "r", a=1.0 + number)
    installed = site.install(tmp_path / "r")
    attach_validation(installed.folder, installed.digest, cohort(tmp_path / "f", installed.digest, "failed", False))
    for other in range(4):
        made = cohort(tmp_path / f"n{other}", installed.digest, f"none {other}", None)
        attach_validation(installed.folder, installed.digest, made)
    named = Request("tests", rule=SignatureRule.OFF, validation=tmp_path / "n0")
    for ask in (ASK, named):
        with pytest.raises(NotValidated, match=r"\(failed\) and did not meet the criteria"):
            site.switch(installed, ask)
    met = cohort(tmp_path / "m", installed.digest, "met", True)
    attach_validation(installed.folder, installed.digest, met)
    done = site.switch(installed, named)
    assert done.validation is not None
    assert (done.validation.cohort, done.validation.accepted) == ("met", True)


def test_a_validation_that_was_edited_or_failed_or_is_none_is_refused(site: SiteModels, tmp_path: Path) -> None:
    release(tmp_path / "r")
    installed = site.install(tmp_path / "r")
    edited = validation(tmp_path / "edited", "0" * 64)
    (edited / "report.json").write_text(json.dumps({"package_digest": installed.digest}))
    with pytest.raises(BrokenLineage, match=r"report\.json"):
        attach_validation(installed.folder, installed.digest, edited)
    failed = validation(tmp_path / "failed", installed.digest, passed=False)
    with pytest.raises(NotValidated, match="did not meet the criteria"):
        site.switch(installed, Request("tests", rule=SignatureRule.OFF, validation=failed))
    kept = attach_validation(installed.folder, installed.digest, validation(tmp_path / "v", installed.digest))
    assert sorted(path.name for path in kept.folder.iterdir()) == ["record.json", "report.json"]
    (tmp_path / "split").mkdir()
    write_record(tmp_path / "split", "split", inputs={}, outputs=[])
    with pytest.raises(NotValidated, match="step 'split'"):
        site.switch(installed, Request("tests", rule=SignatureRule.OFF, validation=tmp_path / "split"))
    assert site.journal.entries() == ()


def test_switching_is_journalled_and_rollback_takes_back_step_by_step(site: SiteModels, tmp_path: Path) -> None:
    first, second = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    site.switch(first, ASK)
    done = site.switch(second, ASK)
    assert (done.change.from_digest, done.change.to_digest) == (first.digest, second.digest)
    assert (done.change.actor, done.change.reason) == ("tests", "a test")
    assert site.active("tiny_square") == second.digest
    assert site.rollback("tiny_square", ASK).release == first
    assert site.rollback("tiny_square", ASK).release.built_in
    assert site.active("tiny_square") == BUILT_IN
    with pytest.raises(NoSuchVersion, match="nothing to go back to"):
        site.rollback("tiny_square", ASK)
    assert [item.action for item in site.journal.entries()] == ["switch", "switch", "rollback", "rollback"]


def test_a_switch_after_a_rollback_can_be_taken_back_too(site: SiteModels, tmp_path: Path) -> None:
    first, second = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    site.switch(first, ASK)
    site.rollback("tiny_square", ASK)
    site.switch(second, ASK)
    assert site.journal.undo_of("tiny_square") == (BUILT_IN,)
    with pytest.raises(NoSuchVersion, match="active already"):
        site.switch(second, ASK)


def test_a_rollback_to_damaged_bytes_is_refused_and_the_active_version_stays(site: SiteModels, tmp_path: Path) -> None:
    first, second = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    site.switch(first, ASK)
    site.switch(second, ASK)
    (first.folder / "model/network.onnx").write_bytes(b"other")
    with pytest.raises(DamagedPackage, match=r"network\.onnx"):
        site.rollback("tiny_square", ASK)
    assert site.active("tiny_square") == second.digest


def test_what_does_not_fit_the_code_is_not_switched_on(site: SiteModels, tmp_path: Path) -> None:
    installed = ready(site, tmp_path / "a", "1.1.0")

    def refuse(_: Release) -> None:
        raise DamagedPackage("the code does not fit")

    with pytest.raises(DamagedPackage, match="code does not fit"):
        site.switch(installed, Request("tests", rule=SignatureRule.OFF, check=refuse))
    assert site.journal.entries() == ()


def test_where_signatures_are_required_only_trusted_ones_are_switched_on(site: SiteModels, tmp_path: Path) -> None:
    installed = ready(site, tmp_path / "a", "1.1.0")
    strict = Request("tests", rule=SignatureRule.ON)
    with pytest.raises(UntrustedPackage, match="not signed"):
        site.switch(installed, strict)
    key = key_pair(tmp_path / "keys")
    locked = release(tmp_path / "signed", version="1.3.0", key=key)
    signed = site.install(tmp_path / "signed")
    attach_validation(signed.folder, signed.digest, validation(tmp_path / "v", locked.package.digest))
    with pytest.raises(UntrustedPackage, match="unknown at this site"):
        site.switch(signed, strict)
    site.trust.add(key.with_name("maker.pub"), "Maker", "tests")
    assert site.switch(signed, strict).change.signature == "trusted"
    path = signed.folder / "signature.json"
    path.write_text(path.read_text().replace("Maker", "Faker"))
    with pytest.raises(BadSignature, match="was not made by key"):
        site.prove(signed, SignatureRule.OFF)


def test_versions_are_named_by_number_digest_or_built_in(site: SiteModels, tmp_path: Path) -> None:
    installed = ready(site, tmp_path / "a", "1.1.0")
    assert site.find("tiny_square", "1.1.0") == installed
    assert site.find("tiny_square", installed.digest[:8]) == installed
    assert site.find("tiny_square", BUILT_IN).built_in
    twin = ready(site, tmp_path / "b", "1.1.0", a=3.0)
    with pytest.raises(NoSuchVersion, match="names 2 versions"):
        site.find("tiny_square", "1.1.0")
    assert site.find("tiny_square", twin.digest) == twin
    for reader_id, wanted in (("tiny_square", "9.9"), ("nobody", "1.0.0"), ("tiny_square", installed.digest[:3])):
        with pytest.raises(NoSuchVersion):
            site.find(reader_id, wanted)


def test_a_damaged_version_is_told_and_hides_no_other(site: SiteModels, tmp_path: Path) -> None:
    sound, bad = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    (bad.folder / "model/manifest.json").write_text("{")
    found, problems = site.listing()
    assert [item for item in found if not item.built_in] == [sound]
    assert len(problems) == 1
    moved = sound.folder.with_name("f" * 64)
    sound.folder.rename(moved)
    assert any("renamed" in text for text in site.listing()[1])


@pytest.mark.parametrize("edit", ["digest", "actor", "order", "schema", "text"])
def test_a_journal_that_was_edited_is_noticed(site: SiteModels, tmp_path: Path, edit: str) -> None:
    site.switch(ready(site, tmp_path / "a", "1.1.0"), ASK)
    site.switch(ready(site, tmp_path / "b", "1.2.0", a=2.0), ASK)
    path = site.folder / JOURNAL
    body = json.loads(path.read_text())
    if edit == "order":
        body["entries"].reverse()
    elif edit == "schema":
        body["schema"] = 7
    elif edit == "digest":
        body["entries"][-1]["to_digest"] = body["entries"][0]["to_digest"]
    else:
        body["entries"][0]["actor"] = "nobody"
    path.write_text("{broken" if edit == "text" else json.dumps(body))
    with pytest.raises(BrokenJournal, match="Restore it from a backup"):
        site.journal.entries()


SWITCHER = """
import sys
from pathlib import Path
from coread.models.trust import SignatureRule
from coread.models.versions import Request, SiteModels

site = SiteModels(Path(sys.argv[1]), {})
versions = [site.find("tiny_square", name) for name in sys.argv[2:]]
print("ready", flush=True)
for number in range(100_000):
    site.switch(versions[number % 2], Request("killed", rule=SignatureRule.OFF))
"""


def test_a_kill_in_the_middle_leaves_the_old_version_or_the_next(site: SiteModels, tmp_path: Path) -> None:
    first, second = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    for pause in (0.011, 0.023, 0.037, 0.053):
        before = len(site.journal.entries())
        order = [first, second] if site.active("tiny_square") != first.digest else [second, first]
        command = [sys.executable, "-c", SWITCHER, str(tmp_path / "site"), *(item.digest for item in order)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(pause)
            os.kill(process.pid, signal.SIGKILL)
        entries = site.journal.entries()
        assert len(entries) >= before
        assert site.active("tiny_square") in (first.digest, second.digest, BUILT_IN)
        for earlier, later in itertools.pairwise(entries):
            assert later.from_digest == earlier.to_digest
    site.switch(first if site.active("tiny_square") != first.digest else second, ASK)


def test_a_lock_packs_the_records_that_made_it_in_their_order(tmp_path: Path) -> None:
    steps = [tmp_path / name for name in ("data", "split", "train")]
    records: list[StepRecord] = []
    for step, name in zip(steps, ("dataset build", "split", "train"), strict=True):
        step.mkdir()
        records.append(write_record(step, name, inputs={}, outputs=[], parents=records[-1:]))
    folder = write_tiny_reader(tmp_path / "r", lock=False)
    (tmp_path / "licence").write_text("Apache-2.0\n")
    locked = lock_release(folder, LockPlan(records=tuple(steps), licence=tmp_path / "licence"))
    assert packed_records(folder / "model") == tuple(records)
    assert {"LICENCE.txt", "sbom.json", "records/03-train/record.json"} <= set(locked.package.names())
    assert locked.record.parents == tuple(item.digest for item in records)
    assert "onnxruntime" in dict(read_sbom(folder / "model"))
    again = lock_release(folder, LockPlan(records=tuple(steps), licence=tmp_path / "licence"))
    assert again.package.digest == locked.package.digest
    with pytest.raises(BrokenLineage, match="does not come from"):
        lock_release(folder, LockPlan(records=(steps[0], steps[2])))


def test_locking_again_removes_a_signature_over_other_bytes(tmp_path: Path) -> None:
    release(tmp_path / "r", key=key_pair(tmp_path / "keys"))
    assert (tmp_path / "r/signature.json").exists()
    lock_release(tmp_path / "r")
    assert not (tmp_path / "r/signature.json").exists()


def test_with_a_replay_the_switch_needs_its_acceptance(site: SiteModels, tmp_path: Path) -> None:
    installed = ready(site, tmp_path / "a", "1.1.0")

    base = site.find("tiny_square", BUILT_IN).digest

    def replayed(name: str, digest: str, accepted: bool | None, before: str = "") -> Path:
        (tmp_path / name).mkdir()
        inputs = {"package before": before or base, "package after": digest}
        write_record(tmp_path / name, "replay", inputs=inputs, outputs=[], settings={"accepted": accepted})
        return tmp_path / name

    for name, digest, accepted in (
        ("other", "1" * 64, True),
        ("no", installed.digest, False),
        ("un", installed.digest, None),
    ):
        with pytest.raises(NotValidated):
            site.switch(installed, Request("tests", rule=SignatureRule.OFF, replay=replayed(name, digest, accepted)))
    assert site.journal.entries() == ()
    good = replayed("good", installed.digest, True)
    done = site.switch(installed, Request("tests", rule=SignatureRule.OFF, replay=good))
    assert done.change.replay
    assert done.change.from_digest == BUILT_IN


def test_a_replay_speaks_only_for_the_version_that_is_in_use(site: SiteModels, tmp_path: Path) -> None:
    first, second = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    base = site.find("tiny_square", BUILT_IN).digest

    def ask(before: str, after: Release) -> Request:
        folder = tmp_path / f"replay-{before[:8]}-{after.version}"
        folder.mkdir()
        inputs = {"package before": before, "package after": after.digest}
        write_record(folder, "replay", inputs=inputs, outputs=[], settings={"accepted": True})
        return Request("tests", rule=SignatureRule.OFF, replay=folder)

    with pytest.raises(NotValidated, match="of a package with itself"):
        site.switch(first, ask(first.digest, first))
    with pytest.raises(NotValidated, match="is not in use"):
        site.switch(first, ask(second.digest, first))
    site.switch(first, ask(base, first))
    with pytest.raises(NotValidated, match=f"is not in use.*{first.digest[:16]}"):
        site.switch(second, ask(base, second))
    assert len(site.journal.entries()) == 1
    site.switch(second, ask(first.digest, second))


def test_before_the_first_switch_of_an_imported_reader_no_replay_can_speak(tmp_path: Path) -> None:
    site = SiteModels(tmp_path / "site", {})
    first, second = ready(site, tmp_path / "a", "1.1.0"), ready(site, tmp_path / "b", "1.2.0", a=2.0)
    (tmp_path / "replay").mkdir()
    inputs = {"package before": second.digest, "package after": first.digest}
    write_record(tmp_path / "replay", "replay", inputs=inputs, outputs=[], settings={"accepted": True})
    with pytest.raises(NotValidated, match="no version is"):
        site.switch(first, Request("tests", rule=SignatureRule.OFF, replay=tmp_path / "replay"))


def test_taking_back_the_first_switch_of_an_imported_reader_leaves_none(tmp_path: Path) -> None:
    site = SiteModels(tmp_path / "site", {})
    installed = ready(site, tmp_path / "a", "1.1.0")
    assert site.active("tiny_square") == NONE
    site.switch(installed, ASK)
    done = site.rollback("tiny_square", ASK)
    assert (done.change.from_digest, done.change.to_digest) == (installed.digest, NONE)
    assert site.active("tiny_square") == NONE
    site.switch(installed, ASK)


def test_what_does_not_give_its_golden_numbers_is_not_signed(tmp_path: Path) -> None:
    folder = write_tiny_reader(tmp_path / "r", lock=False)
    key = key_pair(tmp_path / "keys")
    (folder / "model/golden/noise.npz").unlink()
    with pytest.raises(GoldenMismatch, match="no golden cases"):
        lock_release(folder, LockPlan(key=key, signer="Maker"))
    assert not (folder / "signature.json").exists()
