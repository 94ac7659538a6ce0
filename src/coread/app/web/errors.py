"""What the web front can refuse.

WebError
|-- NotLoggedIn       no valid session or API token came with the request
|-- NotAllowed        the role of this user does not hold the permission
|-- ForgedRequest     a state-changing request came without the page's own token (CSRF)
|-- TooManyAttempts   logging in is paused for this account or address
|-- Occupied          as much of this is under way as the server does at a time
|-- Conflict          somebody else changed the same thing since it was shown
|-- NotFound          no study, object, user or reader answers to that name
`-- BadInput          a form or a query holds something that cannot be meant
"""

from coread.domain.errors import Refused


class WebError(Refused):
    """Base of the web front's refusals; ``status`` is the HTTP status that is answered."""

    status = 400
    title = "That did not work"


class NotLoggedIn(WebError):
    """No valid session or API token came with the request."""

    status = 401
    title = "Please log in"


class NotAllowed(WebError):
    """The role of this user does not hold the permission."""

    status = 403
    title = "Not allowed"


class ForgedRequest(WebError):
    """A state-changing request came without the page's own token (CSRF)."""

    status = 403
    title = "This page is out of date"


class TooManyAttempts(WebError):
    """Logging in is paused for this account or address."""

    status = 429
    title = "Too many attempts"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many failed logins. Try again in {max(1, round(seconds))} seconds.")
        self.seconds = seconds


class NotFound(WebError):
    """No study, object, user or reader answers to that name."""

    status = 404
    title = "Not found"


class Occupied(WebError):
    """As much of this is under way as the server does at a time; nothing was changed."""

    status = 503
    title = "Busy"


class Conflict(WebError):
    """Somebody else was faster; nothing was changed."""

    status = 409
    title = "Changed meanwhile"


class BadInput(WebError):
    """A form or a query holds something that cannot be meant."""

    status = 422
    title = "Please check what you entered"
