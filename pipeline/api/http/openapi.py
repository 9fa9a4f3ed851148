"""OpenAPI 3.1, made from what the routes declare.

Owns: the declaration of an operation, the route that carries one, the document.
Does not own: the operations themselves (each route module has its own).
Invariant: a route without an operation cannot be made, so nothing is served undocumented; the
document is a function of the code alone, so that a test can compare it with docs/openapi.json.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.routing import Route

from pipeline.api.http.problems import MEDIA_TYPE as PROBLEM_TYPE
from pipeline.api.http.problems import Problem

JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation.

    Attributes:
        where: path, query or header. schema: JSON Schema of its value.
    """

    name: str
    where: str
    schema: dict[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one status means.

    Attributes:
        body: the type of the JSON; None for an empty body or one that is no JSON.
        media: of the body; empty for none.
        headers: description by name.
    """

    description: str
    body: Any = None
    media: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: the JSON type and its media type."""

    type: Any
    media: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does, for people and for generators of clients.

    Attributes:
        id: unique, in camelCase. tag: the group it is shown in.
        answers: by status, errors too: a status from 400 on is always a Problem, and its
            `body` may say which members are added.
        scope: what a token must have; empty when anybody may.
    """

    id: str
    summary: str
    tag: str
    answers: dict[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    scope: str = ""
    description: str = ""


class ApiRoute(Route):
    """A Starlette route that carries its operation.

    Args:
        path: Starlette's template, such as `/v1/users/{user_id}/progress`.
        endpoint: `async (request) -> response`, or an ASGI application for what is called most.
        operation: what it does.
        method: one; HEAD comes with GET.
        hidden: left out of the document: pages for people, probes.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        operation: Operation,
        *,
        method: str = "GET",
        hidden: bool = False,
    ) -> None:
        super().__init__(path, endpoint, methods=[method], include_in_schema=not hidden)
        self.operation = operation
        self.method = method


def document(routes: Sequence[Any], version: str) -> dict[str, Any]:
    """The OpenAPI document of some routes.

    Args:
        routes: of any kind; those that are no ApiRoute, or hidden, are left out.
        version: of the API.
    """
    shown = [route for route in routes if isinstance(route, ApiRoute) and route.include_in_schema]
    types: list[Any] = [Problem]
    for route in shown:
        for found in _types(route.operation):
            if found not in types:
                types.append(found)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = list(zip(types, schemas, strict=True))

    def schema_of(wanted: Any) -> dict[str, Any]:
        return next(dict(schema) for known, schema in by_type if known == wanted)

    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        at = paths.setdefault(route.path_format, {})
        at[route.method.lower()] = _operation(route.operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "awaway",
            "version": version,
            "description": "Daily practice as streaks, portals and sacred geometry.",
        },
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _types(operation: Operation) -> list[Any]:
    found = [answer.body for answer in operation.answers.values() if answer.body is not None]
    return [*found, operation.body.type] if operation.body else found


def _operation(operation: Operation, schema_of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
    }
    text = operation.description
    if operation.scope:
        text = f"{text} Scope: `{operation.scope}`.".strip()
    else:
        described["security"] = []
    if text:
        described["description"] = text
    if operation.parameters:
        described["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body is not None:
        content = {operation.body.media: {"schema": schema_of(operation.body.type)}}
        described["requestBody"] = {"required": True, "content": content}
    described["responses"] = {
        str(status): _answer(status, answer, schema_of)
        for status, answer in sorted(operation.answers.items())
    }
    return described


def _parameter(one: Parameter) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": one.where,
        "required": one.required or one.where == "path",
        "description": one.description,
        "schema": one.schema,
    }


def _answer(
    status: int, answer: Answer, schema_of: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in answer.headers.items()
        }
    if status >= 400:
        schema = schema_of(answer.body or Problem)
        described["content"] = {PROBLEM_TYPE: {"schema": schema}}
    elif answer.body is not None:
        described["content"] = {answer.media: {"schema": schema_of(answer.body)}}
    elif answer.media and answer.media != JSON:
        described["content"] = {answer.media: {"schema": {"type": "string"}}}
    return described
