"""The two databases of a service: SQLite files in the home, or databases on a PostgreSQL server."""

from urllib.parse import urlsplit, urlunsplit

from tasks.errors import OrchestratorError
from tasks.redaction import without_password
from tasks.settings import Settings

DATABASE_NAMES = ("factorgrid_mlflow", "factorgrid_prefect")


def open_databases(settings: Settings, url: str | None) -> tuple[str, str]:
    """Return the URLs of MLflow's and Prefect's databases; PostgreSQL databases are created.

    Parameters
    ----------
    settings : the home, for SQLite.
    url : a PostgreSQL server, ``postgresql://user:password@host:port``; None for SQLite.

    Raises
    ------
    OrchestratorError
        If the URL is not that of a PostgreSQL server, no server answers, or it refuses the request.
    """
    if url is None:
        folder = settings.home / "prefect"
        prefect = f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
        return f"sqlite:///{settings.home / 'mlflow.db'}", prefect
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise OrchestratorError(
            f"--database {without_password(url)}: not the address of a PostgreSQL server; "
            "write it as postgresql://user:password@host:5432"
        )
    if parts.path.strip("/"):
        raise OrchestratorError(
            f"--database {without_password(url)}: names the database {parts.path}; omit "
            f"it: two databases are created on that server, {' and '.join(DATABASE_NAMES)}"
        )
    for name in DATABASE_NAMES:
        _create_if_missing(url, name)
    mlflow, prefect = (
        urlunsplit(parts._replace(scheme="postgresql", path=f"/{n}")) for n in DATABASE_NAMES
    )
    return mlflow, prefect.replace("postgresql://", "postgresql+asyncpg://", 1)


def _create_if_missing(url: str, name: str) -> None:
    try:
        import psycopg2
        from psycopg2 import sql
    except ImportError as error:
        raise OrchestratorError(
            "--database: PostgreSQL's driver is not installed; pip install 'factorgrid[postgres]'"
        ) from error
    parts = urlsplit(url)._replace(scheme="postgresql", path="/postgres")
    try:
        connection = psycopg2.connect(urlunsplit(parts), connect_timeout=10)
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise OrchestratorError(
            f"--database {without_password(url)}: {reason}; start it, or correct the address"
        ) from error
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg2.Error as error:
        raise OrchestratorError(
            f"--database {without_password(url)}: {str(error).strip()}; create {name} as its "
            "administrator"
        ) from error
    finally:
        connection.close()
