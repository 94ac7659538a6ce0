"""Where results go: each queue, its breaker, its dead letters, and sending them again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from coread.app.web.context import DestinationState
from coread.app.web.errors import NotFound
from coread.app.web.guard import Actor, Allow, context_of, note
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.domain.work import DeliveryState

router = APIRouter(include_in_schema=False)
Resender = Annotated[Actor, Depends(Allow(Permission.RESEND))]


@router.get("/destinations")
def destinations_page(
    request: Request, actor: Annotated[Actor, Depends(Allow(Permission.DESTINATIONS))]
) -> HTMLResponse:
    """Show every destination and all dead letters."""
    context = context_of(request)
    states, counts = context.destination_states(), plain_counts(context.store.delivery_counts())
    items = [
        {"destination": one, "state": states.get(one.name, DestinationState()), "counts": counts.get(one.name, {})}
        for one in context.destinations
    ]
    dead = context.store.deliveries(state=DeliveryState.DEAD)
    return page(request, "destinations.html", actor, destinations=items, dead=dead)


def plain_counts(counts: dict[str, dict[DeliveryState, int]]) -> dict[str, dict[str, int]]:
    """Return the counts by the state's word."""
    return {name: {state.value: number for state, number in states.items()} for name, states in counts.items()}


@router.post("/destinations/resend/{delivery_id}")
def resend(request: Request, delivery_id: int, actor: Resender) -> RedirectResponse:
    """Send one dead letter again."""
    store = context_of(request).store
    delivery = store.delivery(delivery_id)
    if delivery is None or delivery.state is not DeliveryState.DEAD:
        raise NotFound("This is not a dead letter (any more).")
    store.requeue_delivery(delivery_id, actor.name)
    note(request, actor, "delivery.resent", str(delivery_id), delivery.destination)
    return RedirectResponse("/destinations", status_code=303)


@router.post("/destinations/resend-all")
def resend_all(request: Request, actor: Resender) -> RedirectResponse:
    """Send every dead letter again."""
    store = context_of(request).store
    for delivery in store.deliveries(state=DeliveryState.DEAD):
        store.requeue_delivery(delivery.delivery_id, actor.name)
        note(request, actor, "delivery.resent", str(delivery.delivery_id), delivery.destination)
    return RedirectResponse("/destinations", status_code=303)
