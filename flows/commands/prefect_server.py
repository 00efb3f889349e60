"""The Prefect server of a command that trains."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.settings import Settings
    from tasks.study.study_file import Study


@contextmanager
def prefect_server(study: "Study", settings: "Settings") -> Iterator[None]:
    """Use a Prefect server while the block runs; start a local one if none is configured.

    Raises
    ------
    UserError
        If the pictures of the study cannot be found, or the server does not start.
    """
    source = study.data.source_place
    if source is not None:
        from tasks.data.find_images import check_source

        # Checked first, so that a wrong path is reported before a server is started.
        check_source(source, settings.unpacked)
    settings.create()
    from tasks.progress import status_line

    with ExitStack() as stack:
        with status_line("starting Prefect"):
            from tasks.service.local_prefect import local_prefect

            server = stack.enter_context(local_prefect(settings))
            # Needed later: loaded, and the database created, while the server starts.
            import flows.search  # noqa: F401 # loaded here, used by the command
            from tasks.data.rules import load_great_expectations
            from tasks.tracking.tracker import Tracker

            Tracker.open(settings).find_experiment(study.name)  # a deleted one is reported here
            load_great_expectations()
            if server is not None:
                server.wait()
        yield
