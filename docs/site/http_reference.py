"""reference/http.md: every route of the interface and every task's parameters, from the server's own description."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from app.api.application import ROUTERS
from app.api.bodies import described_in_full
from app.api.described import described

HEAD = """# HTTP, every route

Made from the server's own description (`GET /api/v1/openapi.json`) and from the tasks' parameters when this site is
built. [Over HTTP](../http.md) tells how they are used.
"""
PARTS = {
    "operation": "The server",
    "jobs": "Jobs",
    "history": "Results and history",
    "subjects": "Subjects",
    "uploads": "Uploads",
    "openai": "OpenAI's routes",
    "a1111": "A1111's routes",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, "reference/http.md", content=http_page()))
    return files


def http_page() -> str:
    """Routes by their part, then tasks."""
    api = FastAPI()
    for router in ROUTERS:
        api.include_router(router)
    paths = described_in_full(api)["paths"]
    routes = [(path, method.upper(), told) for path, methods in paths.items() for method, told in methods.items()]
    parts = dict.fromkeys([*PARTS, *(tag for _, _, told in routes for tag in told.get("tags", ()))])
    lines = [HEAD]
    for part in parts:
        lines.append(f"## {PARTS.get(part, part.capitalize())}\n")
        for path, method, told in routes:
            if part in told.get("tags", ()):
                lines += _route(path, method, told)
    lines.append("## Tasks\n\nWhat the `request` of a job may hold, and its `inputs`.\n")
    for task in described():
        lines += _task(task)
    return "\n".join(lines)


def _route(path: str, method: str, told: dict[str, Any]) -> Iterator[str]:
    yield f"### {method} {path.replace('{', '&#123;')}\n"
    yield f"{_plain(told.get('description', told.get('summary', '')).strip())}\n"
    asked = told.get("parameters", [])
    if asked:
        yield "| parameter | in | type | default | |\n|---|---|---|---|---|"
        for one in asked:
            schema = one.get("schema", {})
            yield f"| `{one['name']}` | {one['in']} | {_kind(schema)} | {_default(schema)} | {_limits(schema)} |"
        yield ""
    content = told.get("requestBody", {}).get("content", {})
    if content:
        yield f"Body: {', '.join(f'`{kind}`' for kind in content)}.\n"
    yield from _fields(next(iter(content.values()), {}).get("schema", {}))


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    """What a body may hold, where its schema says so."""
    if schema.get("properties"):
        yield "| field | type | |\n|---|---|---|"
        for name, one in schema["properties"].items():
            needed = " (needed)" if name in schema.get("required", ()) else ""
            text = " ".join(part for part in (_plain(one.get("description", "")), _limits(one)) if part)
            yield f"| `{name}`{needed} | {_kind(one)} | {text} |"
        yield ""


def _task(task: dict[str, Any]) -> Iterator[str]:
    yield f"### {task['name']}\n\n{task['summary']}\n"
    yield "| parameter | type | default | | |\n|---|---|---|---|---|"
    for name, schema in task["request"]["properties"].items():
        needed = " (needed)" if name in task["request"]["required"] else ""
        text = _plain(schema.get("description", ""))
        yield f"| `{name}`{needed} | {_kind(schema)} | {_default(schema)} | {_limits(schema)} | {text} |"
    yield "\n| input | what |\n|---|---|"
    for name, kind in task["inputs"].items():
        yield f"| `{name}` | {_plain(kind.get('help') or kind.get('label') or '')} |"
    yield ""


def _kind(schema: dict[str, Any]) -> str:
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    names = []
    for one in kinds:
        found = one.get("type", "object")
        names += [kind for kind in ([found] if isinstance(found, str) else found) if kind != "null"]
        if found == "array" and "items" in one:
            names[-1] = f"list of {_kind(one['items'])}"
    return " or ".join(dict.fromkeys(names))


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    return "" if value is None or value == "" or isinstance(value, list | dict) else f"`{value}`"


def _limits(schema: dict[str, Any]) -> str:
    parts = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    one = parts[0] if parts else {}
    choices = one.get("enum") or one.get("items", {}).get("enum")
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if "minimum" in one and "maximum" in one:
        return f"{one['minimum']} to {one['maximum']}"
    return f"from {one['minimum']}" if "minimum" in one else f"to {one['maximum']}" if "maximum" in one else ""


def _plain(text: str) -> str:
    marks = {"|": "\\|", "<": "&lt;", ">": "&gt;", "[": "\\[", "{": "&#123;", "*": "\\*"}
    return text.translate(str.maketrans(marks)).replace("\n", " ")
