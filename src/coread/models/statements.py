"""The licence and the data statement of a reader that this project trained, written from its card into its package."""

from collections.abc import Mapping
from pathlib import Path

from coread.domain.cards import ReaderCard
from coread.models.locking import DATA_STATEMENT, LICENCE
from coread.models.writing import write_whole

_APACHE = "https://www.apache.org/licenses/LICENSE-2.0"


def write_statements(model_folder: Path, card: ReaderCard, data: Mapping[str, str], remark: str = "") -> None:
    """Write LICENCE.txt and data_statement.md; ``data`` maps each data set to the SHA-256 over its files."""
    write_whole(model_folder / LICENCE, licence_text(card))
    write_whole(model_folder / DATA_STATEMENT, data_statement(card, data, remark))


def licence_text(card: ReaderCard) -> str:
    """Return the licence of the package and, as a notice, what the data that it learnt from are licensed under."""
    return (
        f"{card.name} ({card.reader_id} {card.version})\n\n"
        "The files of this package (networks, calibration, generated golden cases, records and texts) are part of "
        "Coread\nand are licensed under the Apache License, Version 2.0; the full text is the file LICENSE of Coread "
        f"and at\n{_APACHE}\n\n"
        "NOTICE\n\n"
        "The networks were trained by this project on data of others. None of these data are in this package. Their\n"
        "licences, and those of weights that training started from:\n\n"
        f"  {card.training_licence}\n\n"
        "Research use only. Not a medical device. Provided without warranty of any kind.\n"
    )


def data_statement(card: ReaderCard, data: Mapping[str, str], remark: str = "") -> str:
    """Return what the reader learnt from, what it was measured on, and for whom that speaks, in Markdown."""
    sets = "\n".join(f"- `{name}`: SHA-256 over its files `{digest}`" for name, digest in sorted(data.items()))
    learnt = "\n".join(f"- {line}" for line in card.training_data)
    limits = "\n".join(f"- {line}" for line in card.limits)
    measured = sorted({point.measured_on for output in card.outputs for point in output.operating_points})
    return (
        f"# Data of {card.name}\n\n## What it learnt from\n\n{learnt}\n\nLicence: {card.training_licence}\n\n"
        f"{sets or 'No digest of the data was kept.'}\n\n"
        + (f"{remark}\n\n" if remark else "")
        + f"## What it was measured on\n\n{card.validation}\n\n"
        + "\n".join(f"- {line}" for line in measured)
        + f"\n\n## Whom the data speak for\n\n{_people(card)}\n\n## Limits\n\n{limits}\n"
    )


def _people(card: ReaderCard) -> str:
    contract = card.input
    ages = [
        f"from {contract.min_age_years:g} years on" if contract.min_age_years is not None else "",
        f"up to {contract.max_age_years:g} years" if contract.max_age_years is not None else "",
    ]
    said = " ".join(part for part in ages if part) or "age not limited by the card"
    return (
        f"Modality {', '.join(contract.modalities) or 'any'}; body part {', '.join(contract.body_parts) or 'any'}; "
        f"view {', '.join(contract.views) or 'any'}; {said}. Where the data sets name no sex, age, origin or scanner, "
        "nothing is known of how evenly they are spread; subgroups that could be measured stand in the validation."
    )
