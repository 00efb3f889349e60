"""What stands before a server's application: requests of pages of other origins are refused."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class SameOriginMiddleware:
    """Refuses requests and web sockets of pages that are not the server's own.

    Browsers say in the header ``Origin`` from which page a request comes; other programs say
    nothing. The header ``Host`` must be checked too, because both are compared.

    Parameters
    ----------
    app : the application that answers the other requests.
    origins : origins that are accepted as well, such as ``https://pages.example.org``.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str] = ()) -> None:
        self.app, self.origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] in ("http", "websocket") and not self._is_own(Headers(scope=scope)):
            await refuse(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_own(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or origin in self.origins or "*" in self.origins:
            return True
        try:
            # Without the scheme: a proxy for TLS may stand between.
            return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        except ValueError:
            return False


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with status 403."""
    await PlainTextResponse("Refused by FactorGrid", status_code=403)(scope, receive, send)
