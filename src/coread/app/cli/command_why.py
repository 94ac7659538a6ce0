"""``coread why``: everything that happened to a study, what did not, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, say, show_table

if TYPE_CHECKING:
    from coread.app.why import ReaderStory, Story


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def why(
        context: typer.Context,
        study: Annotated[str, typer.Argument(help="accession number or Study Instance UID")],
        json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
    ) -> None:
        """Tell the whole story of a study: images, decisions, outcome, objects, deliveries."""
        from coread.app.why import study_story

        front: Front = context.obj
        with front.open_store() as store:
            story = study_story(store, study)
        if json:
            answer_json(story_document(story))
        else:
            _tell(story)


def story_document(story: "Story") -> dict[str, Any]:
    """Return the story as plain JSON values."""
    study = story.study
    return {
        "study_instance_uid": study.study_instance_uid,
        "accession_number": study.accession_number,
        "state": study.state.value,
        "settled_reason": study.settled_reason.value if study.settled_reason else None,
        "generation": study.generation,
        "images": study.instance_count,
        "readers": [_reader_document(reader) for reader in story.readers],
        "stages": [
            {"key": s.key, "name": s.name, "at": s.at.isoformat(), "seconds": s.seconds, "detail": s.detail}
            for s in story.stages
        ],
        "missing": list(story.missing),
        "history": [
            {"at": h.at.isoformat(), "event": h.event, "detail": h.detail, "actor": h.actor} for h in story.history
        ],
        "also": list(story.also),
        "notice": RESEARCH_USE,
    }


def _reader_document(reader: "ReaderStory") -> dict[str, Any]:
    return {
        "reader_id": reader.reader_id,
        "version": reader.reader_version,
        "outcome": reader.outcome.value if reader.outcome else None,
        "explanation": reader.explanation,
        "objects": [
            {
                "kind": sent.evidence.kind.value,
                "sop_instance_uid": sent.evidence.sop_instance_uid,
                "deliveries": [
                    {
                        "destination": d.destination,
                        "state": d.state.value,
                        "attempts": d.attempts,
                        "error": d.last_error,
                    }
                    for d in sent.deliveries
                ],
            }
            for sent in reader.objects
        ],
    }


def _tell(story: "Story") -> None:
    study = story.study
    say(f"Study {study.study_instance_uid}")
    counts = f"{study.series_count} series, {study.instance_count} images"
    say(f"Accession {study.accession_number or '(none)'}; {counts}; {study.state.value}")
    say("")
    show_table(
        ("reader", "outcome", "what it said"),
        [
            (f"{r.reader_id} {r.reader_version}", r.outcome.value if r.outcome else "under way", r.explanation)
            for r in story.readers
        ],
        "Readers",
    )
    say("")
    show_table(
        ("time (UTC)", "after", "step", "detail"),
        [
            (f"{s.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], "" if s.seconds is None else f"{s.seconds:.2f} s", s.name, s.detail)
            for s in story.stages
        ],
        "What happened",
    )
    objects = [
        (
            sent.evidence.kind.value,
            delivery.destination,
            delivery.state.value,
            str(delivery.attempts),
            delivery.last_error,
        )
        for reader in story.readers
        for sent in reader.objects
        for delivery in sent.deliveries
    ]
    if objects:
        say("")
        show_table(("object", "destination", "state", "attempts", "last error"), objects, "Sent")
    if story.missing:
        say("")
        say("What did not happen, and why")
        for line in story.missing:
            say(f"  - {line}")
    if story.also:
        say("")
        say("Other studies with this accession number: " + ", ".join(story.also))
    say("")
    say(RESEARCH_USE)
