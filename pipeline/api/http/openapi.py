"""Makes the OpenAPI 3.1 document from what the routes declare.

Owns: the declaration of an operation, the route that carries one, the document.
Does not own: the operations themselves (each route module has its own).
Invariants: a route cannot be made without an operation, so nothing is served undocumented; the
document depends on the code alone, so a test can compare it with docs/openapi.json.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

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
        schema: JSON Schema of the value.
    """

    name: str
    where: Literal["path", "query", "header"]
    schema: dict[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one status means.

    Attributes:
        body: the type of the JSON, or a tuple of types of which it has one; None for an empty body,
            or one that is not JSON.
        media: the body's media type; empty without a body.
        headers: descriptions by name.
    """

    description: str
    body: Any = None
    media: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request: the type of the JSON, and the media type."""

    type: Any
    media: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does, for people and for generators of clients.

    Attributes:
        id: a unique name in camelCase.
        tag: the group in which it is shown.
        answers: by status, with errors: from 400 on the body is always a Problem, and the answer's
            `body` may say which members are added.
        scope: the scope that a token must have; empty when no token is needed.
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
        endpoint: `async (request) -> response`, or an ASGI application where speed matters most.
        operation: the description of the route.
        method: one method; GET serves HEAD, too.
        hidden: whether the document leaves it out, such as pages for people and probes.
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
    """Make the OpenAPI document of some routes.

    Args:
        routes: of any kind; the document has those that are an ApiRoute and not hidden.
        version: the version of the API.
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
        if isinstance(wanted, tuple):
            return {"anyOf": [schema_of(one) for one in wanted]}
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
    bodies = [answer.body for answer in operation.answers.values() if answer.body is not None]
    found = [one for body in bodies for one in (body if isinstance(body, tuple) else (body,))]
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
