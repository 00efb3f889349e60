"""MLflow's server without its assistant, for requests of its own pages and of programs.

It is the application ``factorgrid`` of ``mlflow server --app-name``; `pyproject.toml` registers it.

MLflow's assistant carries out shell commands that a language model asks for. Any program on the
machine may configure it, by one request without a password: the address of the model, and that
nobody is asked. MLflow has no setting that removes it. Without this module, MLflow also accepts
requests of pages from all ports of the machine.
"""

import os

from starlette.types import ASGIApp, Receive, Scope, Send

from tasks.service.same_origin import SameOriginMiddleware, refuse

#: The part of a path that the assistant has, with any prefix.
ASSISTANT = "/mlflow/assistant"


class WithoutAssistantMiddleware:
    """Refuses requests to MLflow's assistant."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if ASSISTANT in scope.get("path", ""):
            await refuse(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def create_app() -> ASGIApp:
    """Return MLflow's application behind both checks; MLflow itself checks the ``Host``."""
    from mlflow.server.fastapi_app import app

    # The same variable by which MLflow's own check knows them.
    origins = os.environ.get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "").split(",")
    return SameOriginMiddleware(WithoutAssistantMiddleware(app), origins)
