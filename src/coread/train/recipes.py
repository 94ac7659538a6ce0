"""A recipe: one TOML file that says which data sets become which network, read into frozen records."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from coread.train.augmenting import AugmentPlan
from coread.train.errors import BadPlan
from coread.train.exporting import Storage
from coread.train.module import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.semisupervised import SemiPlan
from coread.train.tasks import Head, head_from_json

_KINDS: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    bool: ("true or false", (bool,)),
    str: ("text", (str,)),
}


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """How a stored image becomes the network's input."""

    side: tuple[int, ...] = (224, 224)
    """(rows, columns) or (slices, rows, columns); one number is a square."""
    colour: bool = False
    window: tuple[float, float] | None = None
    """Stored values that become black and white; ``None``: 8-bit and DICOM images as they are shown, others by their
    own 0.5 and 99.5 percentile."""
    channels: tuple[str, ...] = ()
    """Views of one study that are the channels of one image, in this order (``flair``, ``t1``, ...); empty: each image
    by itself."""

    def __post_init__(self) -> None:
        if len(self.side) not in (2, 3) or min(self.side) < 8:
            raise BadPlan(f"images.side is two or three numbers of at least 8, not {list(self.side)}")
        if self.window is not None and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise BadPlan(f"images.window is [black, white] with black below white, not {list(self.window)}")
        if self.colour and len(self.side) == 3:
            raise BadPlan("images.colour is for two-dimensional images")
        if self.channels and (self.colour or len(set(self.channels)) != len(self.channels)):
            raise BadPlan(f"images.channels are different views of grey images, not {list(self.channels)}")


@dataclass(frozen=True, slots=True)
class HeadSource:
    """A head and where its targets come from in the index."""

    head: Head
    label: str = ""
    """MultiClass and Ordinal: the one label whose number is the class; empty: every class is a label of its own."""
    complete: bool = False
    """Segmentation and Boxes: an image without mask or box has nothing to find (else nobody looked)."""
    empty_when: tuple[str, ...] = ()
    """Segmentation and Boxes: labels that mean that there is nothing to find, such as ``normal``."""
    others: str = "refuse"
    """MultiClass: what becomes of an image with none of the classes: ``refuse`` or ``leave_out``."""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """How the network is written."""

    flips: bool = True
    storage: Storage = "float32"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a run makes."""

    name: str
    datasets: tuple[Path, ...]
    heads: tuple[HeadSource, ...]
    images: ImagePlan = field(default_factory=ImagePlan)
    fit: FitPlan = field(default_factory=FitPlan)
    export: ExportPlan = field(default_factory=ExportPlan)
    train: tuple[str, ...] = ("train",)
    """Parts to learn from."""
    tune: tuple[str, ...] = ("tune",)
    """Parts that decide when to stop; with ``folds`` they are learned from as well."""
    test: tuple[str, ...] = ("test",)
    """Parts that nothing is learned from or decided on."""
    folds: int = 0
    """0: one fit; k: k fits, each without one fold of the patients, exported as their mean (cross-fitting)."""
    covariates: tuple[str, ...] = ()
    """Values beside the image: ``age``, ``sex``, ``FIELD:VALUE`` (``view:AP``: 1 or 0), or a name in the covariates."""
    skip: tuple[str, ...] = ()
    """Names of images to leave out."""
    skip_damaged: bool = False
    """Leave out images that cannot be opened, and list them; else they stop the run."""
    cache: Path | None = None
    """Where decoded images are kept; by default ``cache`` beside the run's folder."""
    encoder: Path | None = None
    """Folder of an encoder taught without labels, to begin with; without ``[network]`` its network is taken too."""
    unlabelled: tuple[str, ...] = ()
    """Parts whose images are learned from without their labels."""
    unlabelled_plan: SemiPlan = field(default_factory=SemiPlan)
    """How they are learned from."""

    def __post_init__(self) -> None:
        names = [source.head.name for source in self.heads]
        if not names or len(set(names)) != len(names):
            raise BadPlan(f"a recipe needs heads with different names, got {names}")
        if not self.datasets:
            raise BadPlan('a recipe needs at least one data set: datasets = ["FOLDER"]')
        if self.folds == 1 or self.folds < 0:
            raise BadPlan(f"folds is 0 (one fit) or at least 2, not {self.folds}")
        shared = set(self.train) & set(self.test) | set(self.tune) & set(self.test) | set(self.train) & set(self.tune)
        if shared:
            raise BadPlan(f"part {sorted(shared)[0]!r} stands twice among train, tune and test")
        if both := set(self.unlabelled) & {*self.train, *self.tune, *self.test}:
            raise BadPlan(f"part {sorted(both)[0]!r} stands under unlabelled and among train, tune and test")
        if self.unlabelled_plan != SemiPlan() and not self.unlabelled:
            raise BadPlan('[unlabelled_plan] says how, but no part says what: unlabelled = ["PART"]')
        if not self.train:
            raise BadPlan('a recipe needs parts to learn from: train = ["train"]')


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; folders in it are relative to its own. Raises BadPlan with the key that is wrong."""
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise BadPlan(f"there is no recipe {path}") from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise BadPlan(f"{path} cannot be read as a recipe: {problem}") from problem
    try:
        return recipe_from(body, path.parent)
    except BadPlan as problem:
        raise BadPlan(f"{path}: {problem}") from problem


def recipe_from(body: Mapping[str, Any], base: Path) -> Recipe:
    """Build a recipe from plain data."""
    rest = dict(body)
    heads = tuple(_head(entry) for entry in _list(rest.pop("heads", []), "heads"))
    network = _record(NetworkPlan, rest.pop("network", {}), "network")
    augment = _record(AugmentPlan, rest.pop("augment", {}), "augment")
    plan = _record(FitPlan, rest.pop("fit", {}), "fit", leave_out=("network", "augment"))
    images = dict(rest.pop("images", {}))
    if isinstance(images.get("side"), int):
        images["side"] = [images["side"]] * 2
    made: dict[str, Any] = {
        "heads": heads,
        "fit": replace(plan, network=network, augment=augment),
        "images": _record(ImagePlan, images, "images"),
        "export": _record(ExportPlan, rest.pop("export", {}), "export"),
        "datasets": tuple(base / str(folder) for folder in _list(rest.pop("datasets", []), "datasets")),
        "cache": base / str(rest.pop("cache")) if "cache" in rest else None,
        "encoder": base / str(rest.pop("encoder")) if "encoder" in rest else None,
        "unlabelled_plan": _record(
            SemiPlan, rest.pop("unlabelled_plan", {}), "unlabelled_plan", leave_out=("move", "hard")
        ),
        "name": str(rest.pop("name", "")) or "unnamed",
    }
    recipe: Recipe = _record(Recipe, rest, "", given=made)
    return recipe


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain data."""
    body: dict[str, Any] = asdict(recipe)
    body["datasets"] = [str(folder) for folder in recipe.datasets]
    body["cache"] = None if recipe.cache is None else str(recipe.cache)
    body["encoder"] = None if recipe.encoder is None else str(recipe.encoder)
    if not recipe.unlabelled:  # as runs were written before there was the key
        del body["unlabelled"], body["unlabelled_plan"]
    if not recipe.images.channels:
        del body["images"]["channels"]
    for entry, source in zip(body["heads"], recipe.heads, strict=True):
        entry["task"] = type(source.head).__name__
    return body


def _head(entry: Any) -> HeadSource:
    if not isinstance(entry, dict):
        raise BadPlan("every head is a table: [[heads]]")
    rest = dict(entry)
    own = {name: rest.pop(name) for name in ("label", "complete", "empty_when", "others") if name in rest}
    source: HeadSource = _record(HeadSource, own, "heads", given={"head": head_from_json(rest)})
    if source.others not in ("refuse", "leave_out"):
        raise BadPlan(f"heads.others is refuse or leave_out, not {source.others!r}")
    return source


def _record(
    kind: Callable[..., Any], body: Any, where: str, *, given: Mapping[str, Any] | None = None,
    leave_out: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    """Build a record from a table; every key must be a field of it, of the type of its default."""
    at = f"{where}." if where else ""
    if not isinstance(body, dict):
        raise BadPlan(f"{where} must be a table: [{where}]")
    made = dict(given or {})
    known = {item.name: item for item in fields(kind) if item.name not in made and item.name not in leave_out}  # type: ignore[arg-type]
    for key, value in body.items():
        if key not in known:
            raise BadPlan(f"{at}{key} is no setting; there are {', '.join(sorted(known))}")
        made[key] = _value(value, known[key].type, f"{at}{key}")
    try:
        return kind(**made)
    except TypeError as problem:
        raise BadPlan(f"{where or 'recipe'}: {problem}") from problem


def _value(value: Any, kind: Any, where: str) -> Any:
    """Check a value of the file against the type of its field; a list becomes a tuple."""
    options = [option for option in get_args(kind) if option is not type(None)]
    if get_origin(kind) is UnionType:
        return _value(value, options[0], where)
    if get_origin(kind) is Literal:
        if value not in options:
            raise BadPlan(f"{where} is one of {', '.join(map(str, options))}, not {value!r}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise BadPlan(f"{where} must be a list, not {value!r}")
        return tuple(_value(item, options[0], where) for item in value)
    words, types = _KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise BadPlan(f"{where} must be {words}, not {value!r}")
    return value if kind is not float else float(str(value))


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadPlan(f"{where} must be a list")
    return value
