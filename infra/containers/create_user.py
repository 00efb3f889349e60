"""Creates a user of MLflow without further rights, or gives an existing one a new password.

Usage: ``python create_user.py NAME``. MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD are the server and its administrator; NEW_PASSWORD is the new password.
"""

import os
import sys

import httpx


def main(name: str) -> int:
    """Create the user or change its password; return the exit status."""
    credentials = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    api = httpx.Client(
        base_url=f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/users",
        auth=credentials,
        timeout=60,
        trust_env=False,
    )
    user = {"username": name, "password": os.environ["NEW_PASSWORD"]}
    answer = api.post("create", json=user)
    if "RESOURCE_ALREADY_EXISTS" in answer.text:
        answer = api.patch("update-password", json=user)
    if answer.is_success:
        print(f"MLflow's user {name} is ready")
        return 0
    print(f"MLflow's user {name}: status {answer.status_code}, {answer.text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
