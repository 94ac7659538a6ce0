"""Lock readers that were released before packages were whole: ``scripts/relock_reader.py NAME... --data D --out O``.

The network, its calibration and its golden cases stay byte for byte. Licence, data statement, a record and the list
of versions are added. What was not written down when the reader was made is said to be unknown, never guessed. The
digest changes, so the package is measured again on the held-out part, and its card must state those very numbers:
otherwise nothing is installed.
"""

import argparse
import hashlib
import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from coread.models.lineage import digest_of_folder
from coread.models.locking import RECORDS, LockPlan, claimed_identity, lock_release
from coread.models.sbom import COMPONENTS, MadeWith, installed_now
from coread.models.statements import write_statements
from coread.readers.card_file import read_card
from coread.train.reader_folder import install, keep_record
from coread.validate.card_numbers import write_validation
from coread.validate.cohort_writing import write_cohort
from coread.validate.validation import validate_reader

REPOSITORY = Path(__file__).resolve().parents[1]
READERS = REPOSITORY / "src/coread/readers"
CONSTRAINTS = "requirements/constraints.txt"
REMARK = (
    "This package was locked anew after its release. The digests of the data were taken then; those of the training "
    "itself were not kept."
)
log = logging.getLogger("coread.train")

Rows = tuple[Path, Sequence[Mapping[str, Any]]]
"""Root of the files and the rows of the held-out cohort."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where the held-out part of a reader comes from: data sets, module that describes it, how its rows are made."""

    sets: Callable[[Any], Sequence[str]]
    described_in: str
    rows: Callable[[Any, Path, Path], Rows]
    """From the reader's cohort module, the folder of all data sets and a folder for files that have to be made."""


def _one_set(cohort: Any) -> Sequence[str]:
    return (str(cohort.SET),)


def _from_root(cohort: Any, data: Path, _: Path) -> Rows:
    return data, cohort.cohort_rows(data)


def _from_set(cohort: Any, data: Path, _: Path) -> Rows:
    return data / cohort.SET, cohort.cohort_rows(data / cohort.SET)


def _with_root(cohort: Any, data: Path, out: Path) -> Rows:
    return out / "root", cohort.cohort_rows(data, out / "root")


def _as_pictures(cohort: Any, data: Path, out: Path) -> Rows:
    return out / "pictures", cohort.write_pictures(data / cohort.SET, out / "pictures")


HELD = {
    "body_part": Held(lambda cohort: tuple(cohort.LEARNT_SETS), "cohort", _from_root),
    "brain_mr_tumor": Held(_one_set, "packaging", _from_set),
    "breast_ultrasound": Held(_one_set, "cohort", _from_root),
    "colon_polyp": Held(_one_set, "packaging", _from_set),
    "diabetic_retinopathy": Held(_one_set, "cohort", _with_root),
    "lung_nodule_patch": Held(_one_set, "cohort", _from_root),
    "lung_nodule_segmentation": Held(_one_set, "packaging", _as_pictures),
    "mammography": Held(_one_set, "packaging", _from_set),
}


def relock(name: str, data: Path, out: Path) -> Path:
    """Make the whole package beside the installed one, measure it, and return its folder."""
    held, installed = HELD[name], READERS / name
    if (installed / "model" / RECORDS).is_dir():
        raise SystemExit(f"{name} is whole already: its package holds records.")
    folder = out / name
    for old in (folder, out / f"{name}-cohort", out / f"{name}-validation"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(installed, folder, ignore=shutil.ignore_patterns("__pycache__"))
    cohort = import_module(f"coread.readers.{name}.cohort")
    described = import_module(f"coread.readers.{name}.{held.described_in}").COHORT
    before = _complete(folder, installed, {item: digest_of_folder(data / item) for item in held.sets(cohort)})
    root, rows = held.rows(cohort, data, out / f"{name}-files")
    write_cohort(out / f"{name}-cohort", dict(described) | {"root": str(root.resolve())}, [dict(row) for row in rows])
    report = validate_reader(folder, out / f"{name}-cohort", out / f"{name}-validation")
    write_validation(report, folder)
    log.info("%s: %s became %s", name, before[:12], report["package_digest"][:12])
    return folder


def _complete(folder: Path, installed: Path, data: Mapping[str, str]) -> str:
    """Write what was missing and lock; return the digest that the package had."""
    card = read_card(folder / "card.toml")
    _, _, before = claimed_identity(folder)
    commit = _git("log", "-1", "--format=%H", "--", str(installed / "model/network.onnx"))
    write_statements(folder / "model", card, data, REMARK)
    inputs = {"package before": before} | {f"data {name}, when locked anew": value for name, value in data.items()}
    inputs |= _recipe_at(commit, installed)
    settings = {"reader_id": card.reader_id, "recipe": f"{folder.name}/recipe.py", "graph_committed_in": commit}
    keep_record(folder / "model", "relock", inputs, settings)
    lock_release(folder, LockPlan(made_with=(*_before(folder, commit), installed_now("lock"))))
    return before


def _before(folder: Path, commit: str) -> tuple[MadeWith, MadeWith]:
    """Return what is known of the versions that fitted and released the network."""
    pins = {}
    for line in _git("show", f"{commit}:{CONSTRAINTS}").splitlines() if commit else ():
        name, _, version = line.partition("==")
        if name.lower() in COMPONENTS:
            pins[name.lower()] = version
    missing = tuple(name for name in ("python", "coread", *COMPONENTS) if name not in pins)
    how = f"not recorded by the fit; pinned in {CONSTRAINTS} of commit {commit[:12]}" if pins else "not recorded"
    run = json.loads((folder / "validation.json").read_text(encoding="utf-8"))["run"]
    packages = {name: version for name, version in run["packages"].items() if name in COMPONENTS}
    released = packages | {"python": run["python"], "coread": run["coread_version"]}
    said = f"recorded by the validation that ended the release, {run['made_at']}"
    return MadeWith("fit", pins, how, missing), MadeWith("release", released, said)


def _recipe_at(commit: str, installed: Path) -> dict[str, str]:
    """Return the SHA-256 of the reader's Python files as they were in the commit that brought the network."""
    if not commit:
        return {}
    place = installed.relative_to(REPOSITORY).as_posix()
    names = [name for name in _git("ls-tree", "--name-only", f"{commit}:{place}").splitlines() if name.endswith(".py")]
    return {
        f"{installed.name}/{name}": hashlib.sha256(_git_bytes("show", f"{commit}:{place}/{name}")).hexdigest()
        for name in names
    }


def _git(*words: str) -> str:
    return _git_bytes(*words).decode().strip()


def _git_bytes(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=REPOSITORY, check=True, capture_output=True).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(HELD), metavar="NAME")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the work")
    parser.add_argument("--install", action="store_true", help="copy what was measured beside the reader's code")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in chosen.names:
        finished = relock(name, chosen.data, chosen.out)
        if chosen.install:
            install(finished, READERS / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
