"""The two databases of a service: SQLite in the home, or PostgreSQL by one address."""

from urllib.parse import urlsplit, urlunsplit

from tasks.errors import OrchestratorError
from tasks.redaction import without_password
from tasks.settings import Settings

NAMES = ("factorgrid_mlflow", "factorgrid_prefect")


def open_databases(settings: Settings, url: str | None) -> tuple[str, str]:
    """Return the addresses of MLflow's and Prefect's databases, created where they are missing.

    Parameters
    ----------
    settings : where SQLite's files are.
    url : a PostgreSQL server, ``postgresql://user:password@host:port``; None for SQLite.

    Raises
    ------
    OrchestratorError
        If it is no such address, no server answers there, or it refuses.
    """
    if url is None:
        folder = settings.home / "prefect"
        prefect = f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
        return f"sqlite:///{settings.home / 'mlflow.db'}", prefect
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise OrchestratorError(
            f"--database {without_password(url)}: no address of a PostgreSQL server; it looks like "
            "postgresql://user:password@host:5432"
        )
    if parts.path.strip("/"):
        raise OrchestratorError(
            f"--database {without_password(url)}: leave {parts.path} out; two databases are made "
            f"at that server, {' and '.join(NAMES)}"
        )
    for name in NAMES:
        _create(url, name)
    mlflow, prefect = (urlunsplit(parts._replace(scheme="postgresql", path=f"/{n}")) for n in NAMES)
    return mlflow, prefect.replace("postgresql://", "postgresql+asyncpg://", 1)


def _create(url: str, name: str) -> None:
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
        words = str(error).strip().splitlines()[0]
        raise OrchestratorError(
            f"--database {without_password(url)}: {words}; start it, or correct the address"
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
