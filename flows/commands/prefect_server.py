"""The Prefect server of a command that trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.settings import Settings
    from tasks.study.study_file import Study


@contextmanager
def prefect_server(study: "Study", settings: "Settings") -> Iterator[None]:
    """Have a Prefect server that answers, once the study's pictures are known to be there."""
    if study.data.source is not None:
        from tasks.data.find_images import check_source

        # A wrong path is an error at once, before servers start.
        check_source(study.data.source)
    settings.create()
    from tasks.progress import status_line
    from tasks.service.local_prefect import local_prefect

    with local_prefect(settings) as server:
        with status_line("starting Prefect"):
            # Needed later: loaded, and the database created, while the server starts.
            import flows.search  # noqa: F401
            from tasks.data.rules import load_great_expectations
            from tasks.tracking.tracker import connect_to_mlflow

            connect_to_mlflow(settings)
            load_great_expectations()
            if server is not None:
                server.wait()
        yield
