"""The readers that are installed: their cards, with what was measured and what they must not be used for."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from coread.app.web.guard import Actor, Allow, context_of
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.domain.cards import InputContract

router = APIRouter(include_in_schema=False)


@router.get("/readers")
def readers_page(request: Request, actor: Annotated[Actor, Depends(Allow(Permission.READERS))]) -> HTMLResponse:
    """Show every card."""
    context = context_of(request)
    values: dict[str, Any] = {"readers": context.readers, "problems": context.broken_readers, "contract": contract_text}
    return page(request, "readers.html", actor, **values)


def contract_text(contract: InputContract) -> str:
    """Say in one sentence what a reader may be given."""
    parts = [f"{' or '.join(contract.modalities) or 'any modality'}"]
    if contract.body_parts:
        parts.append(f"of {', '.join(part.lower() for part in contract.body_parts)}")
    if contract.views:
        parts.append(f"view {' or '.join(contract.views)}")
    parts.append(_age_text(contract))
    parts.append(f"at least {contract.min_rows} x {contract.min_columns} pixels")
    kind = "frames in a loop" if contract.presentation == "loop" else "images"
    images = f"{contract.min_images} to {contract.max_images} {kind}"
    parts.append("a complete series" if contract.presentation == "volume" else images)
    return ", ".join(part for part in parts if part)


def _age_text(contract: InputContract) -> str:
    low, high = contract.min_age_years, contract.max_age_years
    if low is not None and high is not None:
        return f"age {low:g} to {high:g} years"
    if low is not None:
        return f"from {low:g} years of age"
    return f"up to {high:g} years of age" if high is not None else ""
