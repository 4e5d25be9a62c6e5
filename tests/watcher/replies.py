"""What a kube-apiserver sends besides objects, in the words of the recordings."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from tests.watcher.history import to_json

COMMON = {
    "Audit-Id": "77ea4ce5-f9b1-4c3f-8afd-d278a37a82c9",
    "Cache-Control": "no-cache, private",
    "X-Kubernetes-Pf-Flowschema-Uid": "d32d4a52-cf8f-41f4-8a50-98cff9e5c991",
    "X-Kubernetes-Pf-Prioritylevel-Uid": "2a8fe32e-dca6-4b13-98ff-d011d35ea119",
}
JSON = {"Content-Type": "application/json"}
EXPIRED_PAGE = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter, "
    "or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


def status(
    code: int, reason: str, message: str, details: Mapping[str, object] | None = None
) -> dict[str, object]:
    """A Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        **({"details": details} if details is not None else {}),
        "code": code,
    }


def refuse(body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> web.Response:
    """A Status as a response."""
    code = body["code"]
    assert isinstance(code, int)
    return web.Response(
        status=HTTPStatus(code), body=to_json(body), headers={**COMMON, **JSON, **(headers or {})}
    )


def unauthorized() -> web.Response:
    # Nobody was identified, so there is no flow schema to name.
    headers = {"Audit-Id": COMMON["Audit-Id"], "Cache-Control": COMMON["Cache-Control"], **JSON}
    return web.Response(
        status=401, body=to_json(status(401, "Unauthorized", "Unauthorized")), headers=headers
    )


def forbidden(plural: str, verb: str) -> web.Response:
    who = f'User "nobody" cannot {verb} resource "{plural}"'
    body = status(
        403,
        "Forbidden",
        f'{plural} is forbidden: {who} in API group "" at the cluster scope',
        {"kind": plural},
    )
    return refuse(body, {"X-Content-Type-Options": "nosniff"})


def missing() -> web.Response:
    headers = {**COMMON, "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=404, body=b"404 page not found\n", headers=headers)


def discovery(path: str, served: Mapping[str, str]) -> web.Response | None:
    """What is said of which kinds there are, by path, where that is asked for: in all, or in one version."""
    found = [tuple(each.split("/")[2:]) for each in served if each.startswith("/apis/")]
    if path == "/apis":
        groups: list[object] = []
        for group in dict.fromkeys(group for group, _, _ in found):
            versions = dict.fromkeys(version for other, version, _ in found if other == group)
            listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
            groups.append({"name": group, "versions": listed, "preferredVersion": listed[0]})
        return _answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    plurals = [(plural, served[f"{path}/{plural}"]) for *_, plural in found if f"{path}/{plural}" in served]
    if not plurals:
        return None
    resources = [
        {"name": plural, "singularName": kind.lower(), "kind": kind, "verbs": ["list", "watch"]}
        for plural, kind in plurals
    ]
    version = path.removeprefix("/apis/")
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version}
    return _answer({**head, "resources": resources})


def _answer(body: Mapping[str, object]) -> web.Response:
    return web.Response(body=to_json(body) + b"\n", headers={**COMMON, **JSON})


def overloaded() -> web.Response:
    headers = {**COMMON, "Content-Type": "text/plain; charset=utf-8", "Retry-After": "1"}
    return web.Response(status=429, body=b"Too many requests, please try again later.\n", headers=headers)


def invalid(field: str, message: str) -> web.Response:
    """What is said of list options that do not go together, or that are not known."""
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {message}", "field": field}
    details = {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]}
    text = f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: {message}'
    return refuse(status(422, "Invalid", text, details))


def expired_page(start: str) -> web.Response:
    body = status(410, "Expired", EXPIRED_PAGE)
    body["metadata"] = {"continue": page_token(-1, start)}
    return refuse(body)


def bad_token(why: str) -> web.Response:
    return refuse(status(400, "BadRequest", f"invalid continue token: continue key is not valid: {why}"))


def too_large(wanted: str, current: int) -> web.Response:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    body = status(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})
    return refuse(body, {"Retry-After": "1"})


def page_token(version: int, start: str) -> str:
    """What `continue` holds: a version, and the key after which the next page starts."""
    text = to_json({"v": "meta.k8s.io/v1", "rv": version, "start": start})
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def read_token(token: str) -> tuple[int, str]:
    """ValueError if it is none."""
    value = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return int(value["rv"]), str(value["start"])


def event(change: str, text: bytes) -> bytes:
    """A line of a watch."""
    return b'{"type":"%s","object":%s}\n' % (change.encode(), text)


def gone(version: int, current: int) -> bytes:
    return event("ERROR", to_json(status(410, "Expired", f"too old resource version: {version} ({current})")))


def as_metadata(text: bytes) -> bytes:
    """The object with nothing but its metadata."""
    metadata = json.loads(text)["metadata"]
    return to_json({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
