"""A bucket of an S3 store: requests that end, and their errors in our words.

Each request carries the checksum of its bytes (``Content-MD5``, which every such store checks)
and has a few attempts of limited length.  While a store answers none of them, one thread at a
time finds out whether it does again, and the others are refused at once.
"""

from __future__ import annotations

import base64
import errno
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, Final, TypeVar

import boto3
from botocore import exceptions as boto
from botocore.config import Config

ANSWER_S: Final = 15
"""How long an attempt waits for an answer, or for the next bytes of one; most take 0.1 s."""

ATTEMPTS: Final = 3
"""Of each request, with about a second in between: a store that is asked a lot says 503.  What
does not answer is given up within a minute."""

FORM_MAX: Final = 5 << 30
"""Bytes that S3 takes in one request."""

_CONNECT_S: Final = 5
# More threads than this do not ask at once; others would connect anew each time.
_CONNECTIONS: Final = 64
LINK_S: Final = 3600
"""How long links for others work: as long as our own, see links.py."""

Answer = TypeVar("Answer")


class Bucket:
    """The bucket *name* of the S3 store at *endpoint*; None is Amazon's.

    Others reach the store at *public*, for which links are signed.

    Credentials are where all S3 clients look for them: environment, profile, the machine's
    role.  Calls raise FileNotFoundError if there is no such object, PermissionError, TimeoutError
    if nothing answers, OSError (EBUSY if the store has trouble of its own); ``strerror`` says
    what is wrong.  Raises ValueError if the arguments cannot be meant.
    """

    def __init__(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        ca: str | None = None,
        answer_s: float = ANSWER_S,
        public: str | None = None,
    ) -> None:
        self._name = name
        self.public = public
        self._store = f"the S3 store at {endpoint}" if endpoint else "Amazon S3"
        try:
            session = boto3.session.Session()

            def client(endpoint: str | None) -> Any:
                return session.client(
                    "s3",
                    endpoint_url=endpoint,
                    region_name=region or session.region_name or "us-east-1",
                    verify=ca,
                    config=Config(
                        signature_version="s3v4",
                        # A bucket in the host's name needs names that resolve, and certificates.
                        s3={"addressing_style": "path" if endpoint else "auto"},
                        connect_timeout=min(answer_s, _CONNECT_S),
                        read_timeout=answer_s,
                        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                        max_pool_connections=_CONNECTIONS,
                        # Ours is Content-MD5; older stores refuse what newer clients add.
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                    ),
                )

            self._client = client(endpoint)
            # It signs for others, and asks nothing itself.
            self._signer = client(public) if public else self._client
        except boto.BotoCoreError as error:
            raise ValueError(str(error)) from error
        self._lock = Lock()
        self._silent = False
        self._trying = False

    def check(self) -> None:
        """Raise FileNotFoundError if there is no such bucket, PermissionError if not for us."""
        try:
            self._ask(lambda: self._client.head_bucket(Bucket=self._name))
        except FileNotFoundError:
            text = f"{self._store} has no bucket {self._name}: make it, or name another"
            raise FileNotFoundError(errno.ENOENT, text) from None
        except PermissionError as error:
            text = f"the bucket {self._name} cannot be used: {error.strerror}"
            raise PermissionError(errno.EACCES, text) from error

    # ---- An object --------------------------------------------------------------------

    def put(self, key: str, data: bytes) -> None:
        """Make an object of *data*."""
        self._ask(
            lambda: self._client.put_object(**self._at(key), Body=data, ContentMD5=_md5(data))
        )

    def get(self, key: str, offset: int, size: int) -> bytes:
        """Return *size* bytes from *offset*, fewer where the object ends."""
        if not size:
            # There is no range that says so.
            return b""

        def fetch() -> bytes:
            wanted = f"bytes={offset}-{offset + size - 1}"
            found: bytes = self._client.get_object(**self._at(key), Range=wanted)["Body"].read()
            return found

        try:
            return self._ask(fetch)
        except ConnectionAbortedError:
            # It broke off in the middle, which the client does not try again.
            return self._ask(fetch)
        except EOFError:
            return b""

    def size(self, key: str) -> int:
        """Return the size of an object."""
        try:
            return int(
                self._ask(lambda: self._client.head_object(**self._at(key)))["ContentLength"]
            )
        except FileNotFoundError as missing:
            # The answer is the same if it is the bucket that is not there.
            try:
                self.check()
            except FileNotFoundError as error:
                raise OSError(errno.EIO, error.strerror) from missing
            raise

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._ask(lambda: self._client.delete_object(**self._at(key)))

    def copy(self, key: str, to: str) -> None:
        """Make the object *to* of the object *key*."""
        source = self._at(key)
        self._ask(lambda: self._client.copy_object(**self._at(to), CopySource=source))

    # ---- An object in parts -----------------------------------------------------------

    def begin(self, key: str) -> str:
        """Begin an object in parts; return the upload's id."""
        return str(
            self._ask(lambda: self._client.create_multipart_upload(**self._at(key)))["UploadId"]
        )

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Send a part, numbered from 1; return its tag."""
        sent = self._ask(
            lambda: self._client.upload_part(
                **self._at(key),
                UploadId=upload,
                PartNumber=number,
                Body=data,
                ContentMD5=_md5(data),
            )
        )
        return str(sent["ETag"])

    def complete(self, key: str, upload: str, tags: Sequence[str], size: int) -> None:
        """Make one object of *size* bytes of the parts."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        try:
            self._ask(
                lambda: self._client.complete_multipart_upload(
                    **self._at(key), UploadId=upload, MultipartUpload={"Parts": parts}
                )
            )
        except FileNotFoundError:
            # A first attempt may have done it, and its answer not have arrived.
            if self.size(key) != size:
                raise

    def abort(self, key: str) -> None:
        """Forget all parts of an object that is not complete."""
        begun = self._ask(
            lambda: self._client.list_multipart_uploads(Bucket=self._name, Prefix=key)
        )
        for upload in begun.get("Uploads", []):
            forget = partial(self._client.abort_multipart_upload, **self._at(key))
            with suppress(FileNotFoundError):
                self._ask(partial(forget, UploadId=upload["UploadId"]))

    # ---- Links for others ---------------------------------------------------------------

    def form(self, key: str, fields: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return (URL, fields) of a form that puts an object, with *fields* as they are."""
        with self._in_words():
            made = self._signer.generate_presigned_post(
                **self._at(key),
                Fields=dict(fields),
                Conditions=[
                    *({name: text} for name, text in fields.items()),
                    ["content-length-range", 0, FORM_MAX],
                ],
                ExpiresIn=LINK_S,
            )
        return made["url"], made["fields"]

    def link(self, key: str, media_type: str, disposition: str) -> str:
        """Return a URL that gets an object, with these headers."""
        parameters = {
            **self._at(key),
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
        }
        with self._in_words():
            url: str = self._signer.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=LINK_S
            )
        return url

    # ---- Asking -----------------------------------------------------------------------

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": key}

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        with self._lock:
            trying = self._silent
            if trying and self._trying:
                # Or every thread of the server would come to wait here.
                raise TimeoutError(errno.ETIMEDOUT, f"{self._store} does not answer just now")
            self._trying = self._trying or trying
        heard = True
        try:
            with self._in_words():
                return call()
        except TimeoutError:
            heard = False
            raise
        finally:
            with self._lock:
                self._silent = not heard
                if trying:
                    self._trying = False

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except boto.ClientError as error:
            raise self._refusal(error) from error
        except (boto.ResponseStreamingError, boto.IncompleteReadError) as error:
            text = f"{self._store} broke off its answer"
            raise ConnectionAbortedError(errno.ECONNABORTED, text) from error
        except (boto.HTTPClientError, boto.ConnectionError) as error:
            raise TimeoutError(
                errno.ETIMEDOUT, f"{self._store} does not answer: {error}"
            ) from error
        except boto.BotoCoreError as error:
            # Most often there are no credentials.
            text = f"{self._store} cannot be asked: {error}"
            raise PermissionError(errno.EACCES, text) from error

    def _refusal(self, error: boto.ClientError) -> Exception:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode")
        said = error.response["Error"]
        code = said.get("Code")
        text = f"{self._store} answers {status}, {code}: {said.get('Message', '')}"
        if code == "NoSuchBucket":
            # Not "no such object", from which others conclude that it was deleted.
            return OSError(errno.EIO, text)
        if code == "InvalidRange":
            return EOFError(text)
        if status == 404:
            return FileNotFoundError(errno.ENOENT, text)
        if status in (401, 403):
            return PermissionError(errno.EACCES, text)
        return OSError(errno.EBUSY if status and status >= 500 else errno.EIO, text)


def _md5(data: bytes) -> str:
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
