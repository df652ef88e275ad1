"""A client for Google Sheets (API v4) and for finding a spreadsheet by its name (Drive API v3), with a service account.

Reads and writes whole ranges; waits out quotas; every other answer than success is one error that says what to do.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from imkin.errors import ImkinError, MissingExtraError, MissingPathError, UsageError
from imkin.sources.web import retry_after

SHEETS_URL = "https://sheets.googleapis.com"
DRIVE_URL = "https://www.googleapis.com"
SCOPES = (
    "https://www.googleapis.com/auth/spreadsheets",
    "https://www.googleapis.com/auth/drive.metadata.readonly",
)

Cell = str | float | int | bool
Rendered = Literal["UNFORMATTED_VALUE", "FORMULA"]

# Quotas are counted by the minute; the pauses of 1, 2, 4 … s between 8 attempts make two of them.
ATTEMPTS = 8
LONGEST_PAUSE_S = 120.0
# Google's own limit on one request is 180 s.
TIMEOUT_S = 180.0

_URL_ID = re.compile(r"/spreadsheets/d/([A-Za-z0-9_-]+)")
_ID = re.compile(r"[A-Za-z0-9_-]+")


class NotFoundError(UsageError):
    """A spreadsheet that is not there, or that the service account is not allowed to know of."""


class Google:
    """A service account's session. base_url, drive_url: where the two services answer; sleep: takes seconds."""

    def __init__(
        self,
        auth: str,
        *,
        base_url: str = SHEETS_URL,
        drive_url: str = DRIVE_URL,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Sign in with the service account's key in the file `auth`. No request is made yet."""
        self._base_url = base_url.rstrip("/")
        self._drive_url = drive_url.rstrip("/")
        self._sleep = sleep
        self._session, self.account = _session(auth)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def spreadsheet(self, name: str) -> dict[str, Any]:
        """Id, title and worksheets of a spreadsheet that is named by its URL, its id or its name."""
        in_url = _URL_ID.search(name)
        if in_url:
            return self._about(in_url[1])
        if _ID.fullmatch(name):
            try:
                return self._about(name)
            except NotFoundError:
                pass
        return self._about(self._id_of(name))

    def values(self, spreadsheet: str, a1: str, rendered: Rendered) -> list[list[Cell]]:
        """The cells of a range; empty ones at the end of a row, and empty rows at the end, are left out."""
        where = f"{self._base_url}/v4/spreadsheets/{quote(spreadsheet)}/values/{quote(a1, safe='')}"
        answer = self._call("GET", where, params={"valueRenderOption": rendered, "majorDimension": "ROWS"})
        return [["" if cell is None else cell for cell in row] for row in answer.get("values", [])]

    def write(self, spreadsheet: str, a1: str, rows: Sequence[Sequence[Cell]]) -> None:
        """Put rows into a range in one update, each cell exactly as it is: nothing is taken for a formula or a date."""
        where = f"{self._base_url}/v4/spreadsheets/{quote(spreadsheet)}/values:batchUpdate"
        data = [{"range": a1, "majorDimension": "ROWS", "values": [list(row) for row in rows]}]
        self._call("POST", where, body={"valueInputOption": "RAW", "data": data})

    def delete_rows(self, spreadsheet: str, sheet_id: int, spans: Sequence[tuple[int, int]]) -> None:
        """Delete rows in one update, from the bottom up. spans: (first, end) from 0, the end left out."""
        where = f"{self._base_url}/v4/spreadsheets/{quote(spreadsheet)}:batchUpdate"
        requests = [
            {"deleteDimension": {"range": {"sheetId": sheet_id, "dimension": "ROWS", "startIndex": a, "endIndex": b}}}
            for a, b in sorted(spans, reverse=True)
        ]
        # Said twice, it would delete other rows: only an answer that says that nothing was done is followed by another.
        self._call("POST", where, body={"requests": requests}, repeatable=False)

    def _about(self, spreadsheet: str) -> dict[str, Any]:
        fields = "spreadsheetId,properties.title,sheets.properties(sheetId,title,gridProperties)"
        where = f"{self._base_url}/v4/spreadsheets/{quote(spreadsheet)}"
        try:
            return {"spreadsheetId": spreadsheet} | self._call("GET", where, params={"fields": fields})
        except NotFoundError:
            message = f"there is no spreadsheet {spreadsheet}, or it is not shared with {self.account}"
            raise NotFoundError(message) from None

    def _id_of(self, name: str) -> str:
        escaped = name.replace("\\", "\\\\").replace("'", "\\'")
        query = f"name = '{escaped}' and mimeType = 'application/vnd.google-apps.spreadsheet' and trashed = false"
        everywhere = {"supportsAllDrives": "true", "includeItemsFromAllDrives": "true"}
        params = {"q": query, "fields": "files(id,name)", "pageSize": "10"} | everywhere
        files = self._call("GET", f"{self._drive_url}/drive/v3/files", params=params).get("files", [])
        if not files:
            raise NotFoundError(f"no spreadsheet {name} is shared with {self.account}: share it, or give its URL or id")
        if len(files) > 1:
            ids = ", ".join(file["id"] for file in files)
            raise UsageError(f"several spreadsheets are named {name}: give the id of one of them: {ids}")
        return str(files[0]["id"])

    def _call(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        repeatable: bool = True,
    ) -> dict[str, Any]:
        import requests
        from google.auth.exceptions import GoogleAuthError, TransportError

        for attempt in range(ATTEMPTS):
            pause_s, reason = 2.0**attempt, ""
            try:
                answer = self._session.request(method, url, params=params, json=body, timeout=TIMEOUT_S)
            except (requests.RequestException, TransportError) as error:
                if not repeatable:
                    raise ImkinError(f"Google cannot be reached: {error}") from None
                reason = f"Google cannot be reached: {error}"
            except GoogleAuthError as error:
                raise UsageError(f"Google does not accept the key of {self.account}: {_first(error)}") from None
            else:
                if answer.ok:
                    return _object(answer)
                reason = self._reason(answer, url)
                if not _again(answer, repeatable=repeatable):
                    raise _error(answer.status_code, reason)
                pause_s = retry_after(answer.headers.get("Retry-After", ""), time.time()) or pause_s
            if attempt + 1 < ATTEMPTS and pause_s <= LONGEST_PAUSE_S:
                self._sleep(pause_s)
            else:
                break
        raise ImkinError(f"{reason} ({attempt + 1} attempts)")

    def _reason(self, answer: Any, url: str) -> str:
        told = _object(answer).get("error", {})
        message = told.get("message", "") if isinstance(told, dict) else str(told)
        if answer.status_code == 403 and url.startswith(f"{self._drive_url}/drive/"):
            return f"the Drive API, which finds a spreadsheet by its name, refuses: give its URL or id ({message})"
        if answer.status_code == 403:
            return f"no permission: share the spreadsheet with {self.account} as an editor ({message})"
        if answer.status_code == 404:
            return f"there is no such spreadsheet, or it is not shared with {self.account}"
        return f"Google answers {answer.status_code}: {message or answer.reason}"


def _session(auth: str) -> tuple[Any, str]:
    try:
        from google.auth.transport.requests import AuthorizedSession
        from google.oauth2.service_account import Credentials
    except ImportError:
        raise MissingExtraError("Google Sheets", "tables") from None
    info = _key(auth)
    try:
        credentials = Credentials.from_service_account_info(  # type: ignore[no-untyped-call, unused-ignore]
            info, scopes=list(SCOPES)
        )
    except ValueError as error:
        raise UsageError(f"{auth} is no usable key of a service account: {_first(error)}") from None
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call, unused-ignore]
    return session, str(info.get("client_email"))


def _key(auth: str) -> dict[str, Any]:
    try:
        if os.stat(auth).st_size > 1 << 20:
            raise UsageError(f"{auth} is no key of a service account")
        with open(auth, "rb") as file:
            info = json.load(file)
    except OSError as error:
        raise MissingPathError(f"cannot read the credentials {auth}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{auth} is no key of a service account: it is no JSON") from None
    kind = info.get("type") if isinstance(info, dict) else None
    if kind != "service_account":
        raise UsageError(f"{auth} is no key of a service account: its type is {kind or 'missing'}, not service_account")
    return dict(info)


def _again(answer: Any, *, repeatable: bool) -> bool:
    """Whether to ask again later: quotas (Drive says 403 for some), and troubles of the server's own."""
    if answer.status_code == 429:
        return True
    if answer.status_code == 403:
        return "ateLimitExceeded" in answer.text
    return repeatable and answer.status_code in (500, 502, 503, 504)


def _error(status: int, reason: str) -> UsageError:
    return NotFoundError(reason) if status == 404 else UsageError(reason)


def _object(answer: Any) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _first(error: Exception) -> str:
    return str(error.args[0] if error.args else error).splitlines()[0]
