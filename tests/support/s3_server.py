"""S3 as a process on this machine: moto's server, with one bucket."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
from support.service_process import until

from tasks.processes.ports import free_port

#: Of nobody; the server asks for none unless it is told to.
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    # A missing object is reported at once, and no cloud is asked for keys.
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class S3:
    """A server with one bucket, and what reaches it."""

    url: str
    environment: dict[str, str]
    client: Any
    process: "subprocess.Popen[bytes]"

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket="bucket", Key=name, Body=data)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask_for_keys(self, asked: bool) -> None:  # noqa: FBT001 # of a test
        answer = httpx.post(
            f"{self.url}/moto-api/reset-auth", content="0" if asked else "inf", trust_env=False
        )
        answer.raise_for_status()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Start it on a free port, with its log in a folder."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _answers(url), 120, "moto's server")
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",  # noqa: S106 # invented
        )
        client.create_bucket(Bucket="bucket")
        yield S3(url, {**KEYS, "AWS_ENDPOINT_URL": url}, client, process)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False
