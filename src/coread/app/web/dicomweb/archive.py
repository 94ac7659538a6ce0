"""What the DICOMweb server needs from the store, and finding the instances of one resource."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from coread.app.web.dicomweb.errors import BadRequest, NoSuchResource
from coread.domain.identifiers import is_tolerable_uid
from coread.domain.study import Instance, Series, Study
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.store.records import InstanceQuery, Page, SeriesQuery, StudyQuery

OWN_DOOR = "own"
_PAGE = 5000


class Archive(Protocol):
    """The reading side of the store."""

    @property
    def folder(self) -> Path:
        """Where everything lives; derived documents are kept below ``cache/``."""

    def study(self, uid: str) -> Study | None:
        """Look a study up."""

    def find_studies(self, query: StudyQuery) -> Page[Study]:
        """Match at study level."""

    def find_series(self, query: SeriesQuery) -> Page[Series]:
        """Match at series level."""

    def find_instances(self, query: InstanceQuery) -> Page[Instance]:
        """Match at instance level."""

    def instances(self, sop_instance_uids: Sequence[str] = (), *, study_uid: str = "") -> tuple[Instance, ...]:
        """Look instances up by their UIDs."""

    def path_of(self, relative: str) -> Path:
        """Return the file of an instance."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A study, a series of it or an instance of that, as named by a path; UIDs are checked."""

    study: str
    series: str = ""
    instance: str = ""

    def __post_init__(self) -> None:
        for uid in (self.study, self.series, self.instance):
            if uid and not is_tolerable_uid(uid):
                raise BadRequest(f"{uid[:80]!r} is not a UID: digits and dots only, at most 64 characters")

    def path(self) -> str:
        """Return the path of the resource below the service."""
        path = f"/studies/{self.study}"
        path += f"/series/{self.series}" if self.series else ""
        return path + (f"/instances/{self.instance}" if self.instance else "")


def resource_of(instance: Instance) -> Resource:
    """Return the resource that an instance is."""
    header = instance.header
    return Resource(header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)


def iterate_instances(archive: Archive, resource: Resource) -> Iterator[Instance]:
    """Yield the instances of a study or series, page by page."""
    offset = 0
    while True:
        page = archive.find_instances(
            InstanceQuery(
                study_instance_uid=resource.study,
                series_instance_uid=resource.series,
                limit=_PAGE,
                offset=offset,
            )
        )
        yield from page.items
        offset += len(page.items)
        if not page.more or not page.items:
            return


def instances_of(archive: Archive, resource: Resource) -> tuple[Instance, ...]:
    """Return the instances of a resource; raises NoSuchResource when there is none."""
    found = _one(archive, resource) if resource.instance else tuple(iterate_instances(archive, resource))
    if not found:
        raise NoSuchResource(f"nothing is stored under {resource.path()}")
    return found


def _one(archive: Archive, resource: Resource) -> tuple[Instance, ...]:
    return tuple(item for item in archive.instances([resource.instance]) if resource_of(item) == resource)


def completed(archive: Archive, instance: Instance) -> Instance:
    """Return an object that we made with its whole header: the index keeps only a part of it."""
    if instance.origin.door != OWN_DOOR:
        return instance
    try:
        return replace(instance, header=scan_header(archive.path_of(instance.path)))
    except (ImagingRefused, OSError):
        return instance  # what the index knows is true all the same


def instance_at(archive: Archive, resource: Resource) -> tuple[Instance, Path]:
    """Return one instance and its file."""
    instance = instances_of(archive, resource)[0]
    path = archive.path_of(instance.path)
    if not path.is_file():
        raise NoSuchResource(f"the file of {resource.path()} is no longer in the store")
    return completed(archive, instance), path
