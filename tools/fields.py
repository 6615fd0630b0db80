"""Writes docs/fields.md: every field of an InboundSmtp, with what stands below it in contract/model/.

python tools/fields.py > docs/fields.md
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from mailport.contract import formats, model, quantity

INTRODUCTION = """\
# Every field

<!-- Made from src/mailport/contract/model/ by `python tools/fields.py > docs/fields.md`; a test compares the two. -->

`kubectl apply`, the listener in its pod and `mailport serve -f` on a laptop read the same `InboundSmtp`. In `spec`
nothing unknown is taken: a field that is misspelt, given twice or of another type is refused by its path, as in
`spec.listeners[1].tls.mode: must be one of "Disabled", …`. `mailport validate -f FILE` shows all that is wrong at once,
and warns of what is legal and unwise.

**required** within an object means: where that object is given. A default in words depends on other fields, or is
Kubernetes' own. Sizes are whole bytes, `26214400`, or Kubernetes quantities, `25Mi`, `25M`. Numbers are not written as
text, booleans are `true` and `false`, never `on` or `yes`, and a text that begins with `*` needs quotes in YAML.
"""


@dataclass(frozen=True)
class Row:
    """A field."""

    path: str  # spec.listeners[].tls.mode
    default: str
    bounds: str
    text: str
    model: type[model.Model] | None  # where it is an object, or a list of them


def walk(of: type[model.Model] = model.Spec, path: str = "spec") -> Iterator[Row]:
    """Describe each field, and those within it."""
    texts = texts_below(of)
    for name, field in of.model_fields.items():
        text, _, derived = texts[name].partition("Default: ")
        (inner, is_list), metadata = unwrap(field.annotation), [*field.metadata, *annotations(field.annotation)]
        below = f"{path}.{field.alias}{'[]' if inner and is_list else ''}"
        yield Row(below, default(field, derived), bounds(metadata), text.strip(), inner)
        if inner:
            yield from walk(inner, below)


def fields_of(of: type) -> list[ast.stmt]:
    """Return the body of a class as it stands in its file."""
    module = ast.parse(inspect.getsource(sys.modules[of.__module__]))
    return next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == of.__name__)


def texts_below(of: type[model.Model]) -> dict[str, str]:
    """Return what stands below each field in the model, those of the bases included."""
    texts = {}
    for base in (base for base in of.__mro__ if issubclass(base, model.Model)):
        for field, text in pairwise(fields_of(base)):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as words)):
                    texts.setdefault(name, " ".join(words.split()))
    return texts


def unwrap(annotation: Any) -> tuple[type[model.Model] | None, bool]:
    """Return the model that an annotation is about, and whether it is about a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, model.Model):
        return annotation, False
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    inner, in_list = unwrap(arguments[0]) if arguments else (None, False)
    return inner, in_list or any(get_origin(part) is tuple for part in (annotation, *arguments))


def annotations(annotation: Any) -> Iterator[Any]:
    """Return what is said of a type by `Annotated`, however deep."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for argument in get_args(annotation):
        yield from annotations(argument)


def default(field: FieldInfo, derived: str) -> str:
    """Write a default as a document would have it."""
    value = field.default
    if field.is_required():
        return "**required**"
    if isinstance(value, model.Model):
        return "see below"
    if value is None:
        if not derived:
            raise ValueError(f"below {field.alias} its `Default:` is not said")
        return derived.removesuffix(".")
    if type(value) is int and formats.whole_bytes in field.metadata:
        return f"`{quantity.render(value)}`"
    return f"`{value if isinstance(value, StrEnum) else json.dumps(value)}`"


def bounds(metadata: list[Any]) -> str:
    """Write the bounds of a number."""
    limits = [item for item in metadata if isinstance(item, formats.Between)]
    if not limits:
        return ""
    write = quantity.render if formats.whole_bytes in metadata else str
    return f"{write(limits[-1].low)}..{write(limits[-1].high)}"


def page() -> str:
    """Return docs/fields.md: a section for `spec`, for each object in it, and for each destination of a route."""
    rows = list(walk())
    heads = {"spec": model.Spec} | {
        row.path: row.model
        for row in rows
        if row.model and (row.path.count(".") == 1 or row.path.rpartition(".")[0].endswith(".deliver"))
    }
    sections = {head: [f"\n## `{head}`\n\n{inspect.getdoc(of)}\n"] for head, of in heads.items()}
    for lines in sections.values():
        lines.append("| field | default | bounds | meaning |\n|---|---|---|---|")
    for row in rows:
        head = max((head for head in heads if row.path.startswith(f"{head}.")), key=len)
        sections[head].append(f"| `{row.path.removeprefix(f'{head}.')}` | {row.default} | {row.bounds} | {row.text} |")
    return "\n".join(
        [INTRODUCTION.rstrip(), *(line for lines in sections.values() if len(lines) > 2 for line in lines), ""]
    )


if __name__ == "__main__":
    sys.stdout.write(page())
