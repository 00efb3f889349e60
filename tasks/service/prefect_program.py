"""Prefect's server, for requests of its own pages and of programs that call it by its own names.

Usage: ``python -m tasks.service.prefect_program [--host HOST --port PORT | --descriptor FD] NAME
...``, where the names are those of `tasks.service.access.host_names`.

`prefect server start` does not check the names. Its setting for other origins stops their pages
only from reading an answer: a request without a content type is carried out all the same.
"""

import argparse
import socket
import sys
from collections.abc import Sequence

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from tasks.service.access import as_hosts
from tasks.service.same_origin import SameOriginMiddleware


def guarded(app: ASGIApp, names: Sequence[str]) -> ASGIApp:
    """Return an application that answers only requests to these names and of its own pages."""
    return TrustedHostMiddleware(
        SameOriginMiddleware(app), allowed_hosts=as_hosts(names), www_redirect=False
    )


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--descriptor", type=int, help="a listening socket, instead of a port")
    parser.add_argument("names", nargs="+")
    given = parser.parse_args(arguments)
    settings = get_current_settings().server
    config = uvicorn.Config(
        guarded(create_app(final=True), given.names),
        host=given.host,
        port=given.port,
        # As `prefect server start` does.
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )
    server = uvicorn.Server(config)
    if given.descriptor is None:
        server.run()
    else:
        with socket.socket(fileno=given.descriptor) as listening:
            server.run(sockets=[listening])
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
