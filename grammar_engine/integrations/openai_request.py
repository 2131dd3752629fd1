"""What a request in OpenAI's form asks of the answer: tools, their choice, the form of the text; checked.

Every error names its place as a JSON pointer into the request: ``/tools/0/function/name``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grammar_engine.errors import InvalidArgumentError, InvalidSchemaError

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,256}")
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
TEXT: dict[str, Any] = {"type": "text"}


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that may be called. parameters: the schema of its arguments. pointer: of that schema."""

    name: str
    parameters: dict[str, Any]
    pointer: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is asked for.

    tools: those that may be called; declared: whether the request has any. choice: "none", "auto", "required", or
    "named" (the one tool of ``tools`` must be called, once). parallel: more than one call is allowed.
    schema: of the text if it must be JSON, else None; schema_pointer: where it stands. structural_tag: instead of all.
    """

    tools: tuple[Tool, ...] = ()
    choice: str = "none"
    parallel: bool = True
    schema: Any = None
    schema_pointer: str = ""
    structural_tag: Mapping[str, Any] | None = None


def read_request(
    tools: object = None, tool_choice: object = None, parallel_tool_calls: object = None, response_format: object = None
) -> Answer:
    """The answer that the fields of a request ask for; None stands for an absent field.

    Raises InvalidArgumentError (``argument`` is the pointer), InvalidSchemaError for a schema that is none.
    """
    found = _tools(tools)
    choice, allowed = _choice(tool_choice, found)
    if parallel_tool_calls is not None and not isinstance(parallel_tool_calls, bool):
        raise InvalidArgumentError(
            f"expected true or false, not {parallel_tool_calls!r}", argument="/parallel_tool_calls"
        )
    schema, pointer, tag = _response_format(response_format)
    if tag is not None and found:
        raise InvalidArgumentError(
            "a structural tag says all about the answer: put the tools into it", argument="/response_format"
        )
    return Answer(
        tools=allowed,
        choice=choice,
        parallel=parallel_tool_calls is not False,
        schema=schema,
        schema_pointer=pointer,
        structural_tag=tag,
    )


def _tools(tools: object) -> tuple[Tool, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, Sequence) or isinstance(tools, (str, bytes)):
        raise InvalidArgumentError(f"expected a list, not {type(tools).__name__}", argument="/tools")
    out: list[Tool] = []
    for i, tool in enumerate(tools):
        place = f"/tools/{i}"
        kind = _field(tool, "type", place)
        if kind != "function":
            raise InvalidArgumentError(f"only functions can be called, not {kind!r}", argument=f"{place}/type")
        _only(tool, ("type", "function"), place)
        function = _field(tool, "function", place)
        place += "/function"
        name = _name(function, place)
        _only(function, ("name", "description", "parameters", "strict"), place)
        if any(other.name == name for other in out):
            raise InvalidArgumentError(f"another function is named {name!r} too", argument=f"{place}/name")
        strict = _strict(function, place)
        pointer = f"{place}/parameters"
        parameters = function.get("parameters")
        out.append(Tool(name=name, parameters=_parameters(parameters, pointer, strict=strict), pointer=pointer))
    return tuple(out)


def _parameters(parameters: object, pointer: str, *, strict: bool) -> dict[str, Any]:
    """The schema of a function's arguments, which are an object; without one, it has none."""
    if parameters is None:
        return dict(_NO_PARAMETERS)
    if not isinstance(parameters, Mapping):
        raise InvalidSchemaError("parameters are the schema of an object", pointer=pointer)
    kind = parameters.get("type", "object")
    if kind != "object":
        raise InvalidSchemaError(f"arguments are an object, not {kind!r}", pointer=pointer + "/type")
    return {**parameters, "type": "object"} if strict else {"type": "object"}


def _choice(tool_choice: Any, tools: tuple[Tool, ...]) -> tuple[str, tuple[Tool, ...]]:
    if tool_choice is None:
        return ("auto" if tools else "none"), tools
    if tool_choice == "none":
        return "none", tools
    if not tools:
        raise InvalidArgumentError("there are no tools to choose from", argument="/tool_choice")
    if tool_choice in ("auto", "required"):
        return str(tool_choice), tools
    if isinstance(tool_choice, str):
        known = '"none", "auto", "required" or {"type": "function", "function": {"name": …}}'
        raise InvalidArgumentError(f"{tool_choice!r} is no choice; expected {known}", argument="/tool_choice")
    kind = _field(tool_choice, "type", "/tool_choice")
    if kind == "function":
        _only(tool_choice, ("type", "function"), "/tool_choice")
        place = "/tool_choice/function"
        return "named", (_named(_field(tool_choice, "function", "/tool_choice"), tools, place),)
    if kind != "allowed_tools":
        raise InvalidArgumentError(
            f"expected 'function' or 'allowed_tools', not {kind!r}", argument="/tool_choice/type"
        )
    _only(tool_choice, ("type", "allowed_tools"), "/tool_choice")
    place = "/tool_choice/allowed_tools"
    allowed = _field(tool_choice, "allowed_tools", "/tool_choice")
    mode, listed = _field(allowed, "mode", place), _field(allowed, "tools", place)
    if mode not in ("auto", "required"):
        raise InvalidArgumentError(f"expected 'auto' or 'required', not {mode!r}", argument=f"{place}/mode")
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise InvalidArgumentError("expected a list of tools", argument=f"{place}/tools")
    chosen = []
    for i, one in enumerate(listed):
        where = f"{place}/tools/{i}"
        if _field(one, "type", where) != "function":
            raise InvalidArgumentError("only functions can be called", argument=f"{where}/type")
        chosen.append(_named(_field(one, "function", where), tools, f"{where}/function"))
    return str(mode), tuple(tool for tool in tools if tool in chosen)


def _named(function: Any, tools: tuple[Tool, ...], place: str) -> Tool:
    name = _name(function, place)
    for tool in tools:
        if tool.name == name:
            return tool
    known = ", ".join(tool.name for tool in tools)
    raise InvalidArgumentError(f"no tool is named {name!r}; there are {known}", argument=f"{place}/name")


def _response_format(given: object) -> tuple[Any, str, Mapping[str, Any] | None]:
    """The schema of the text and where it stands, or a structural tag."""
    place = "/response_format"
    if given is None:
        return None, "", None
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(f"expected an object, not {type(given).__name__}", argument=place)
    kind = _field(given, "type", place)
    if kind == "text":
        _only(given, ("type",), place)
        return None, "", None
    if kind == "json_object":
        _only(given, ("type",), place)
        return {"type": "object"}, place, None
    if kind == "json_schema":
        _only(given, ("type", "json_schema"), place)
        holder = _field(given, "json_schema", place)
        place += "/json_schema"
        _name(holder, place)
        _only(holder, ("name", "description", "schema", "strict"), place)
        strict = _strict(holder, place)
        schema = _field(holder, "schema", place)
        if not isinstance(schema, (Mapping, bool)):
            raise InvalidSchemaError("a schema is an object, true or false", pointer=place + "/schema")
        return (dict(schema) if isinstance(schema, Mapping) else schema) if strict else True, place + "/schema", None
    if kind == "structural_tag":
        return None, place, given
    known = "text, json_object, json_schema, structural_tag"
    raise InvalidArgumentError(f"{kind!r} is not supported; known are {known}", argument=place + "/type")


def _strict(holder: Mapping[str, Any], place: str) -> bool:
    """Is the schema to be enforced? Unless it says that it is not."""
    strict = holder.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise InvalidArgumentError(f"expected true or false, not {strict!r}", argument=f"{place}/strict")
    return strict is not False


def _name(holder: Any, place: str) -> str:
    name = _field(holder, "name", place)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"a name has letters, digits and _ . : - (at most 256), unlike {name!r}", argument=f"{place}/name"
        )
    return name


def _field(holder: Any, name: str, place: str) -> Any:
    if not isinstance(holder, Mapping):
        raise InvalidArgumentError(f"expected an object, not {type(holder).__name__}", argument=place)
    if name not in holder:
        raise InvalidArgumentError(f"{name!r} is missing", argument=place)
    return holder[name]


def _only(holder: Any, known: tuple[str, ...], place: str) -> None:
    for name in holder:
        if name not in known:
            raise InvalidArgumentError(
                f"{name!r} is not known; known are {', '.join(known)}", argument=f"{place}/{name}"
            )
