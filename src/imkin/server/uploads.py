"""Uploads: multipart bodies, spooled to files while they are counted, gone when the request is answered."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from imkin.server.problems import Problem
from imkin.server.settings import Uploads

# Fields say a word or a number; their names and the headers of a part are as short.
MOST_FIELDS, LONGEST_FIELD, LONGEST_HEADER = 32, 1024, 8192
LONGEST_NAME = 200
# What is handed to the disk at once: less would cost a change of threads for each 64 KiB.
CHUNK = 512 * 1024
# Of a refused request so much is read and thrown away, that its sender hears the refusal and not a broken connection.
DRAIN_BYTES, DRAIN_S = 64 * 1024 * 1024, 10.0


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture of a request. path: where it is spooled. name: what its sender calls it, for showing alone."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Received:
    """The parts of a request in their order: files, and fields of the form."""

    files: tuple[Upload, ...]
    fields: dict[str, str]

    @property
    def paths(self) -> list[str]:
        """Where the files are spooled."""
        return [file.path for file in self.files]


@asynccontextmanager
async def received(request: Request, limits: Uploads, *, spool: str) -> AsyncIterator[Received]:
    """The uploads of a request, in a folder of its own below spool that is removed afterwards.

    Raises Problem for a body that is no multipart form, or is over the limits.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(415, "no-multipart", "send the images as multipart/form-data")
    _check_length(request, limits)
    folder = await asyncio.to_thread(tempfile.mkdtemp, dir=spool)
    try:
        form = _Form(folder, limits, options[b"boundary"])
        try:
            await _read(request, form, limits)
        finally:
            form.close()
        if not form.files:
            raise Problem(422, "no-images", "the request has no file; send each image as a part with a file name")
        yield Received(tuple(form.files), form.fields)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def drain(request: Request) -> None:
    """Read what is left of a request that is refused, for a while."""
    seen = 0
    try:
        async with asyncio.timeout(DRAIN_S):
            async for chunk in request.stream():
                seen += len(chunk)
                if seen > DRAIN_BYTES:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):
        # RuntimeError: the stream was read before; there is nothing left to wait for.
        return


def _check_length(request: Request, limits: Uploads) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.bytes:
        raise _too_large(limits)


def _too_large(limits: Uploads) -> Problem:
    return Problem(413, "too-large", f"the request is over {limits.bytes:,} bytes; send fewer or smaller images")


async def _read(request: Request, form: _Form, limits: Uploads) -> None:
    """Feed the body to the form, in large pieces and off the event loop. Raises Problem."""
    stream = request.stream()
    waiting, seen = bytearray(), 0
    try:
        async with asyncio.timeout(limits.total_s):
            while True:
                async with asyncio.timeout(limits.idle_s):
                    chunk = await anext(stream, None)
                if chunk is not None:
                    waiting += chunk
                    seen += len(chunk)
                if seen > limits.bytes:
                    raise _too_large(limits)
                if waiting and (chunk is None or len(waiting) >= CHUNK):
                    await asyncio.to_thread(form.feed, bytes(waiting))
                    waiting.clear()
                if chunk is None:
                    break
    except TimeoutError:
        raise Problem(408, "too-slow", "the rest of the request did not come in time") from None
    except ClientDisconnect:
        raise Problem(400, "broken-off", "the request ended early") from None
    except MultipartParseError:
        raise Problem(400, "no-multipart", "the body is no multipart form") from None
    if not form.ended:
        raise Problem(400, "no-multipart", "the body is no whole multipart form: its last boundary is missing")


class _Form:
    """Writes the parts of a body that is fed to it. A part with a file name is a file, any other a field."""

    def __init__(self, folder: str, limits: Uploads, boundary: bytes) -> None:
        self.files: list[Upload] = []
        self.fields: dict[str, str] = {}
        self._fields = 0
        self.ended = False
        self._folder, self._limits = folder, limits
        self._header: dict[bytes, bytearray] = {}
        self._name, self._value = bytearray(), bytearray()
        self._file: IO[bytes] | None = None
        self._field: str | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._opened,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take in the next bytes. Raises Problem, MultipartParseError."""
        self._parser.write(data)

    def close(self) -> None:
        """Close the file of a body that broke off."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._header, self._value = {}, bytearray()
        self._name = bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._check_header()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._name) + len(self._value) + sum(map(len, self._header.values())) > LONGEST_HEADER:
            raise Problem(400, "no-multipart", "the header of a part is too long")

    def _header_end(self) -> None:
        self._header[bytes(self._name).lower()] = self._value
        self._name, self._value = bytearray(), bytearray()

    def _opened(self) -> None:
        _, options = parse_options_header(bytes(self._header.get(b"content-disposition", b"")))
        name, file_name = options.get(b"name", b""), options.get(b"filename")
        if file_name is None:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise Problem(413, "too-many-fields", f"the form has over {MOST_FIELDS} fields")
            self._field = name.decode("utf-8", "replace")
            return
        if len(self.files) >= self._limits.files:
            raise Problem(413, "too-many-images", f"the request has over {self._limits.files} images; send fewer")
        # Our own names, without an ending: none of what a client calls its file reaches the disk.
        path = os.path.join(self._folder, f"{len(self.files):06}")
        self._file = open(path, "xb")  # noqa: SIM115 - closed at the end of the part
        self.files.append(Upload(path, _shown(file_name)))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > LONGEST_FIELD:
            raise Problem(413, "too-many-fields", f"a field of the form is over {LONGEST_FIELD} bytes")

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        elif self._field is not None:
            self.fields[self._field] = self._value.decode("utf-8", "replace")
        self._field, self._value = None, bytearray()

    def _end(self) -> None:
        self.ended = True


def _shown(name: bytes) -> str:
    """What a client calls its file: the last part of it, printable, not too long."""
    text = name.decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    return "".join(c if c.isprintable() else "�" for c in text)[:LONGEST_NAME]
