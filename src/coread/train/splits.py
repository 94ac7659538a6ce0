"""Patient-level splits with a fixed seed, and the check that nothing stands in two parts."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coread.train.errors import Leak


def patient_folds(
    patients: Sequence[str], labels: NDArray[np.bool_], *, folds: int, seed: int, images: Sequence[str] = ()
) -> NDArray[np.int64]:
    """Give every image a fold, (N,): whole patients, with the labels (N, K) spread evenly over the folds.

    ``images`` are digests of the pixels: patients who share an image are kept together.
    """
    groups = _joined(patients, images)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    columns = np.column_stack([np.ones(len(labels)), labels])
    load = np.zeros((len(names), columns.shape[1]))
    np.add.at(load, member, columns)
    fold_of = np.empty(len(names), dtype=np.int64)
    total = np.zeros((folds, columns.shape[1]))
    wanted = np.maximum(load.sum(axis=0) / folds, 1e-9)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    rarity = (load / wanted).sum(axis=1)
    for name in shuffled[np.argsort(-rarity[shuffled], kind="stable")]:
        after = (total + load[name]) / wanted
        before = total / wanted
        fold_of[name] = int(np.argmin((after**2 - before**2).sum(axis=1)))
        total[fold_of[name]] += load[name]
    return fold_of[member]


def check_no_leak(parts: Sequence[NDArray[np.int64]], patients: Sequence[str], images: Sequence[str] = ()) -> None:
    """Raise Leak when two of the parts (index arrays) share an image index, a patient or a picture."""
    named = [("patient", patients)] + ([("picture", images)] if images else [])
    for what, names in named:
        seen: dict[str, int] = {}
        for part, indices in enumerate(parts):
            for name in {names[int(i)] for i in indices}:
                if seen.setdefault(name, part) != part:
                    raise Leak(f"{what} {name} stands in parts {seen[name]} and {part}: split again by patient")


def held_out(name: str, group: str, percent: int = 20) -> bool:
    """Say whether a patient or group belongs to the fixed test part of a set: the same answer for everybody, always.

    Depends on the set's name and the group alone, so that adding images never moves anybody between the parts.
    """
    drawn = int(hashlib.sha256(f"coread held out {name} {group}".encode()).hexdigest()[:8], 16)
    return drawn % 100 < percent


def _joined(patients: Sequence[str], images: Sequence[str]) -> list[str]:
    """Name every image's group: its patient, or the first patient among those who share a picture."""
    leader = {patient: patient for patient in patients}

    def find(patient: str) -> str:
        while leader[patient] != patient:
            patient = leader[patient]
        return patient

    first: dict[str, str] = {}
    for patient, image in zip(patients, images, strict=False):
        one, other = find(first.setdefault(image, patient)), find(patient)
        leader[max(one, other)] = min(one, other)
    return [find(patient) for patient in patients]
