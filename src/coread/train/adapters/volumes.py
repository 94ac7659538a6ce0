"""Segmented volumes: the Medical Segmentation Decathlon and BraTS 2021 (NIfTI), and fastMRI (HDF5)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import first_file
from coread.train.adapters.tables import read_json
from coread.train.datasets import ImageRow
from coread.train.errors import BadTable, CorruptImage, DataMissing, MissingExtra

CHANNELS = ("flair", "t1", "t1ce", "t2")
CHANNELS_2023 = ("t2f", "t1n", "t1c", "t2w")
_TUMOR = {"1": "necrotic core", "2": "edema", "4": "enhancing tumor"}
_TUMOR_2023 = {"1": "necrotic core", "2": "edema", "3": "enhancing tumor"}
_FASTMRI_PARTS = ("train", "val", "test", "challenge")


def read_msd(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read dataset.json of one task; images without a label are the official test set."""
    path = first_file(source, "dataset.json")
    about = read_json(path)
    base = path.parent.relative_to(source).as_posix()
    try:
        training = [(str(item["image"]), str(item["label"])) for item in about["training"]]
        testing = [(str(item["image"]) if isinstance(item, dict) else str(item), "") for item in about.get("test", [])]
        classes = {str(key): str(value) for key, value in about["labels"].items()}
        modality = {str(key): str(value) for key, value in about["modality"].items()}
    except (KeyError, TypeError, AttributeError) as problem:
        raise BadTable(f"{path} is no dataset.json of the Decathlon: {problem!r}") from problem
    for image, mask in (*training, *testing):
        name = Path(image).name.removesuffix(".gz").removesuffix(".nii")
        yield Draft(
            ImageRow(
                image_id=name,
                path=_below(base, image),
                group_id=name,
                site=str(about.get("reference", "")),
                source=f"msd/{about.get('name', '')}",
                label_source="voxel labels" if mask else "",
                mask=_below(base, mask) if mask else "",
                covariates={
                    "classes": classes, "modality": modality, "official_split": "training" if mask else "test",
                },
            )
        )  # fmt: skip


def read_brats(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read ``BraTS2021_00000/*_flair.nii.gz`` (2023: ``*-t2f.nii.gz``): a row per channel, a group per case."""
    cases = sorted(path for path in source.rglob("BraTS*") if path.is_dir() and any(path.glob("*.nii.gz")))
    if not cases:
        raise DataMissing(f"{source} holds no folder BraTS*/ with NIfTI files")
    for case in cases:
        base = case.relative_to(source).as_posix()
        mark, channels = ("-", CHANNELS_2023) if any(case.glob("*-t2f.nii.gz")) else ("_", CHANNELS)
        mask = f"{base}/{case.name}{mark}seg.nii.gz"
        labelled = (source / mask).is_file()
        classes = _TUMOR_2023 if mark == "-" else _TUMOR
        for channel in channels:
            yield Draft(
                ImageRow(
                    image_id=f"{case.name}_{channel}",
                    path=f"{base}/{case.name}{mark}{channel}.nii.gz",
                    patient_id=case.name.rsplit("-", 1)[0] if mark == "-" else case.name,
                    group_id=case.name.rsplit("-", 1)[0] if mark == "-" else case.name,
                    study_id=case.name,
                    view=channel,
                    source="brats",
                    label_source="neuroradiologists" if labelled else "",
                    mask=mask if labelled else "",
                    covariates={"classes": classes},
                )
            )


def read_fastmri(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read ``*_train/*.h5``: raw k-space per slice; the part is in the name of the folder."""
    files = sorted(source.rglob("*.h5"))
    if not files:
        raise DataMissing(f"{source} holds no *.h5")
    for file in files:
        facts = _fastmri_facts(file)
        folder = file.parent.name
        split = next((part for part in _FASTMRI_PARTS if folder.endswith((f"_{part}", f"_{part}_v2"))), "")
        relative = file.relative_to(source).as_posix()
        patient = str(facts.pop("patient_id", "")) or file.stem
        for number in range(int(facts.pop("slices"))):
            yield Draft(
                ImageRow(
                    image_id=f"{file.stem}/{number}",
                    path=f"{relative}!kspace#{number}",
                    patient_id=patient,
                    group_id=patient,
                    study_id=file.stem,
                    view=str(facts.get("acquisition", "")),
                    source="fastmri",
                    covariates={**facts, "official_split": split, "slice": number},
                )
            )


def _fastmri_facts(file: Path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as problem:
        raise MissingExtra("fastMRI needs h5py: pip install 'coread[train]'") from problem
    try:
        with h5py.File(file, "r") as opened:
            facts: dict[str, Any] = {
                name: float(opened.attrs[name]) if name in ("max", "norm") else str(opened.attrs[name])
                for name in ("acquisition", "patient_id", "max", "norm")
                if name in opened.attrs
            }
            targets = [name for name in ("reconstruction_rss", "reconstruction_esc") if name in opened]
            return facts | {"slices": int(opened["kspace"].shape[0]), "target": next(iter(targets), "")}
    except (OSError, KeyError, ValueError) as problem:
        raise CorruptImage(f"{file} is no fastMRI file: {type(problem).__name__}: {problem}") from problem


def _below(base: str, path: str) -> str:
    relative = path.removeprefix("./")
    return relative if base == "." else f"{base}/{relative}"


MSD = Adapter(
    title="Medical Segmentation Decathlon: ten tasks of segmented CT and MR volumes",
    licence="CC BY-SA 4.0",
    citation="Antonelli M et al. The Medical Segmentation Decathlon. Nat Commun 2022;13:4128.",
    read=read_msd,
    layout="dataset.json, imagesTr/*.nii.gz, labelsTr/*.nii.gz, imagesTs/*.nii.gz (one task)",
)
BRATS = Adapter(
    title="BraTS 2021: 1,251 brain MR studies in four channels with segmented glioma",
    licence="CC BY 4.0 (TCIA), or the challenge's terms",
    citation="Baid U et al. The RSNA-ASNR-MICCAI BraTS 2021 benchmark on brain tumor segmentation. arXiv:2107.02314.",
    read=read_brats,
    layout="BraTS2021_00000/BraTS2021_00000_{flair,t1,t1ce,t2,seg}.nii.gz, or BraTS-GLI-00000-000/*-{t2f,t1n,t1c,t2w}",
)
FASTMRI = Adapter(
    title="fastMRI: raw k-space of knee and brain MR",
    licence="NYU fastMRI data sharing agreement",
    citation="Zbontar J et al. fastMRI: an open dataset and benchmarks for accelerated MRI. arXiv:1811.08839.",
    read=read_fastmri,
    layout="multicoil_train/*.h5, multicoil_val/*.h5, singlecoil_train/*.h5",
)
