"""Fetches the OHIF viewer (MIT licence) from npm, proves that it is the known one, and makes it live under /viewer.

The pre-built pages of ``@ohif/app`` expect to live at ``/``. The archive is pinned by its hash, so the few places
where it says so are known exactly; they are rewritten here, and anything unexpected is refused.
"""

import base64
import hashlib
import hmac
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from coread.app.errors import ViewerRefused

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
MARK_FILE = "coread-viewer.txt"
_DIST = "package/dist/"
# Not needed to read studies, and 180 MB: the runtime of an interactive segmentation tool, debugging maps, pages
# for accounts elsewhere.
_LEFT_OUT = ("ort/", "google.js", "oidc-client.min.js", "silent-refresh.html", "sw.js", "_headers", "_redirects")
_LARGEST_TOTAL = 400 * 1024 * 1024
_ROOT_PATH = '__webpack_require__.p = "/";'
_OUR_PATH = '__webpack_require__.p = "/viewer/";'
_SCRIPTS_WITH_ROOT_PATH = 8
# A segmentation of a projection radiograph has neither spacing nor orientation (both need a frame of reference,
# PS3.3 A.51.5.1). This version of OHIF turns black over such a one, although it shows the radiograph itself with the
# orientation (1, 0, 0, 0, 1, 0). The segmentation gets the same, and only where it states none of its own.
_NO_ORIENTATION = " || [1, 0, 0, 0, 1, 0];"
_OWN_ORIENTATION = "PerFrameFunctionalGroups.PlaneOrientationSequence.ImageOrientationPatient;\n  const iop ="
_OWN_IF_ANY = "PerFrameFunctionalGroups.PlaneOrientationSequence?.ImageOrientationPatient"
_OWN_OF_FRAME = "void 0 : _PerFrameFunctionalGr.ImageOrientationPatient);"
# It shows a report through its first measurement and stays black when that one has no place on an image; so
# measurements without a place are left to the report's own text, and a report without any place is shown as text.
_REPORT_TITLE = "enums/* .CodeNameCodeSequenceValues.ImagingMeasurementReport */.n7.ImagingMeasurementReport;"
_HAS_PLACES = " && JSON.stringify(instance.ContentSequence ?? null).includes('\"SCOORD');"
# Numbers beside a place say which statistic they are (derivation of the report's item) and come first in their line,
# since long lines are cut off; Hounsfield units as people write them; eight lines instead of five.
_NUMBER = "labels.push(_getLabelFromMeasuredValueSequence(ConceptNameCodeSequence, MeasuredValueSequence))"
_NUMBER_TEXT = "    label: CodeMeaning,\n    value: `${formatedNumericValue} ${CodeValue}`"
_MODIFIERS = (
    "[].concat(below ?? []).filter(item => item.ConceptNameCodeSequence?.CodeValue === '121401')"
    ".map(item => item.ConceptCodeSequence?.CodeMeaning)"
)
_SCRIPT_CHANGES = (
    ("7248.bundle.*.js", _NUMBER, _NUMBER.removesuffix("))") + ", item.ContentSequence))"),
    (
        "7248.bundle.*.js",
        "function _getLabelFromMeasuredValueSequence(ConceptNameCodeSequence, MeasuredValueSequence) {",
        "function _getLabelFromMeasuredValueSequence(ConceptNameCodeSequence, MeasuredValueSequence, below) {",
    ),
    (
        "7248.bundle.*.js",
        _NUMBER_TEXT,
        f"    label: [CodeMeaning, ...{_MODIFIERS}].join(', '),\n"
        "    value: `${formatedNumericValue} ${CodeValue === \"[hnsf'U]\" ? 'HU' : CodeValue}`",
    ),
    ("7248.bundle.*.js", "Math.min(labels.length, 5)", "Math.min(labels.length, 8)"),
    (
        "7248.bundle.*.js",
        "lines.push(`${_labelToShorthand(labelEntry.label)}: ${labelEntry.value}`);",
        "lines.push(`${labelEntry.value} ${_labelToShorthand(labelEntry.label)}`);",
    ),
    ("7248.bundle.*.js", _REPORT_TITLE, _REPORT_TITLE.removesuffix(";") + _HAS_PLACES),
    (
        "7248.bundle.*.js",
        "    if (measurement) {\n      measurements.push(",
        "    if (measurement?.coords?.length) {\n      measurements.push(",
    ),
    ("899.bundle.*.js", "  } = PixelMeasures;", "  } = PixelMeasures ?? {};"),
    ("9383.bundle.*.js", _OWN_ORIENTATION, f"{_OWN_IF_ANY}{_NO_ORIENTATION}\n  const iop ="),
    ("9383.bundle.*.js", _OWN_OF_FRAME, _OWN_OF_FRAME.removesuffix(";") + _NO_ORIENTATION),
)
_NO_SERVICE_WORKER = """// No service worker: pages about patients are not kept in the browser.
navigator.serviceWorker?.getRegistrations().then(all => all.forEach(one => one.unregister()));
"""

Progress = Callable[[str], None]


def install_viewer(folder: Path, progress: Progress) -> Path:
    """Fetch, prove, unpack and adapt the viewer into ``folder``; returns it. Does nothing when it is there already.

    Raises ViewerRefused when npm is missing or fails, or when the archive is not the known one.
    """
    if installed_version(folder) == adapted_version():
        progress(f"viewer {VERSION} is already in {folder}")
        return folder
    with tempfile.TemporaryDirectory(prefix="coread-viewer-") as temporary:
        progress(f"fetching {PACKAGE} {VERSION} (50 MB) from npm")
        archive = _fetch(Path(temporary))
        progress("checking its hash")
        check_integrity(archive, INTEGRITY)
        return unpack_viewer(archive, folder, progress)


def installed_version(folder: Path) -> str:
    """Return the version of the viewer that is installed in a folder; empty when there is none."""
    mark = folder / MARK_FILE
    return mark.read_text(encoding="utf-8").split()[0] if mark.is_file() else ""


def adapted_version() -> str:
    """Return the version of the viewer together with a short digest of what is changed in it here."""
    changes = repr((_SCRIPT_CHANGES, _OUR_PATH, _LEFT_OUT, _NO_SERVICE_WORKER, viewer_config()))
    return f"{VERSION}+{hashlib.sha256(changes.encode()).hexdigest()[:8]}"


def check_integrity(archive: Path, expected: str) -> None:
    """Compare the archive with a Subresource Integrity value; raises ViewerRefused when they differ."""
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").digest()
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if not hmac.compare_digest(found, expected):
        raise ViewerRefused(
            f"{archive.name} is not the known viewer: expected {expected}, got {found}. Nothing was installed; "
            "check the npm registry or proxy that this machine uses."
        )


def unpack_viewer(archive: Path, folder: Path, progress: Progress) -> Path:
    """Unpack the pages of a proved archive, adapt them, and put them in place in one step."""
    progress("unpacking")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".viewer-", dir=folder.parent))
    try:
        _unpack(archive, building)
        _adapt(building)
        (building / "app-config.js").write_text(viewer_config(), encoding="utf-8")
        (building / "init-service-worker.js").write_text(_NO_SERVICE_WORKER, encoding="utf-8")
        (building / MARK_FILE).write_text(f"{adapted_version()}\n{INTEGRITY}\n", encoding="utf-8")
        building.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    finally:
        if building.exists():
            shutil.rmtree(building)
    progress(f"viewer {VERSION} is ready in {folder}")
    return folder


def viewer_config() -> str:
    """Return our app-config.js: our own DICOMweb, no other address, the research notice always shown."""
    return Path(__file__).with_name("viewer_config.js").read_text(encoding="utf-8")


def _fetch(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ViewerRefused("npm was not found: install Node.js (Debian: nodejs npm), then run this again.")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=folder)
    except subprocess.TimeoutExpired as problem:
        raise ViewerRefused("npm did not finish within 15 minutes; check the connection and try again.") from problem
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ViewerRefused(f"npm pack failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return archives[0]


def _unpack(archive: Path, folder: Path) -> None:
    """Plain files below ``package/dist`` only: no links, no devices, no way out of the folder, bounded size."""
    total = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = member.name.removeprefix(_DIST)
            if name == member.name or not member.isfile() or _is_left_out(name):
                continue
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise ViewerRefused(f"the archive holds a path that leaves its folder: {member.name}")
            total += member.size
            if total > _LARGEST_TOTAL:
                raise ViewerRefused("the archive unpacks to more than 400 MB")
            source = tar.extractfile(member)
            if source is None:
                raise ViewerRefused(f"the archive's {member.name} cannot be read")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)


def _is_left_out(name: str) -> bool:
    return name.endswith(".map") or name.startswith(_LEFT_OUT) or "apple-touch-startup" in name


def _adapt(folder: Path) -> None:
    """Move the pages from / to /viewer/."""
    changed = 0
    for script in folder.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        if _ROOT_PATH in text:
            script.write_text(text.replace(_ROOT_PATH, _OUR_PATH), encoding="utf-8")
            changed += 1
    if changed != _SCRIPTS_WITH_ROOT_PATH:
        raise ViewerRefused(f"expected {_SCRIPTS_WITH_ROOT_PATH} scripts that name the root path, found {changed}")
    for name, before, after in _SCRIPT_CHANGES:
        for script in folder.glob(name):
            _rewrite(script, ((before, after),))
    _rewrite(folder / "index.html", (('="/', '="/viewer/'),))
    _rewrite(folder / "app.bundle.css", (("url(/", "url(/viewer/"),))
    _rewrite(folder / "manifest.json", (('"/', '"/viewer/'),))


def _rewrite(file: Path, changes: tuple[tuple[str, str], ...]) -> None:
    text = file.read_text(encoding="utf-8")
    for before, after in changes:
        if before not in text:
            raise ViewerRefused(f"{file.name} does not hold {before!r} as expected")
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")
