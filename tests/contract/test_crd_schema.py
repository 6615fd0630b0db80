"""The CustomResourceDefinition beside the model: the same fields, texts, defaults and bounds, and a rule for each rule.

What it accepts and refuses is seen in tests/kube/test_crd.py, on a real API server.
"""

from __future__ import annotations

import copy
import inspect
import re
import runpy
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import annotated_types
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mailport.contract import formats, model, rules

ROOT = Path(__file__).parents[2]
CRD = ROOT / "crds/inboundsmtp.yaml"
FIELDS = runpy.run_path(str(ROOT / "tools/fields.py"))


def schema() -> dict[str, Any]:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def nodes(of: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each schema below one, by its path as docs/fields.md writes it; a list's items are `list[]`."""
    for name, below in of.get("properties", {}).items():
        yield f"{path}.{name}", below
        yield from nodes(below, f"{path}.{name}")
    for part, suffix in (("items", "[]"), ("additionalProperties", "[*]")):
        if part in of:
            yield f"{path}{suffix}", of[part]
            yield from nodes(of[part], f"{path}{suffix}")


def fields(of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The spec's fields."""
    return {path: node for path, node in nodes(of["properties"]["spec"], "spec") if not path.endswith("]")}


@cache
def in_model() -> dict[str, tuple[Any, Any, type[model.Model]]]:
    """The model's fields: what docs/fields.md says, pydantic's own, and the model that the field belongs to."""

    def walk(of: type[model.Model], path: str) -> Iterator[tuple[str, Any, type[model.Model]]]:
        for field in of.model_fields.values():
            inner, is_list = FIELDS["unwrap"](field.annotation)
            below = f"{path}.{field.alias}"
            yield below, field, of
            if inner:
                yield from walk(inner, f"{below}[]" if is_list else below)

    rows = {row.path.removesuffix("[]"): row for row in FIELDS["walk"]()}
    return {path: (rows[path], field, of) for path, field, of in walk(model.Spec, "spec")}


# --- what is wrong, as lines; nothing, with the file as it is


def other_fields(of: dict[str, Any]) -> list[str]:
    crd, code = fields(of).keys(), in_model().keys()
    return [f"{path} is in the CRD alone" for path in crd - code] + [
        f"{path} is in the model alone" for path in code - crd
    ]


def other_texts(of: dict[str, Any]) -> list[str]:
    """A description is the field's text, its object's, or one behind the other; and then its default."""
    crd = fields(of)
    wrong = []
    for path, (row, _, _) in in_model().items():
        about = " ".join(inspect.getdoc(row.model).split()) if row.model else ""
        tail = "" if row.default in {"**required**", "see below"} else f" Default: {row.default}."
        allowed = {f"{text}{tail}" for text in (row.text, about, f"{row.text} {about}") if text}
        if crd[path].get("description") not in allowed:
            wrong.append(f"{path}: {crd[path].get('description')!r} is none of {sorted(allowed)}")
    return wrong


def other_bounds(of: dict[str, Any]) -> list[str]:
    crd = fields(of)
    wrong = []
    for path, (_, field, _) in in_model().items():
        node = crd[path]
        for place, said in bounds(field.annotation, field.metadata).items():
            beside = node if not place else node.get("items") or node.get("additionalProperties") or {}
            wrong += [
                f"{path}{place}: {name} is {beside.get(name)!r}, and {value!r} in the model"
                for name, value in said.items()
                if beside.get(name) != value
            ]
    return wrong


def bounds(annotation: Any, metadata: Sequence[Any] = ()) -> dict[str, dict[str, Any]]:
    """What the model says that a schema can say too: of a field (""), and of the items of a list or map ("[]")."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return bounds(arguments[0], [*annotation.__metadata__, *metadata])
    if NoneType in arguments:
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return bounds(inner, [item for item in metadata if not isinstance(item, formats._NotNull)])

    said = {}
    kind = {tuple: "Items", dict: "Properties"}.get(origin, "Length")
    for item in chain.from_iterable(item.metadata if isinstance(item, FieldInfo) else [item] for item in metadata):
        match item:
            case formats.Between():
                said |= {"minimum": item.low, "maximum": item.high}
            case annotated_types.MaxLen():
                said[f"max{kind}"] = item.max_length
            case annotated_types.MinLen():
                said[f"min{kind}"] = item.min_length
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        said["enum"] = [str(member) for member in annotation if allows(annotation, metadata, member)]
    items = {tuple: arguments[:1], dict: arguments[1:]}.get(origin, ())
    return {"": said, "[]": {name: value for item in items for name, value in bounds(item)[""].items()}}


def allows(annotation: Any, metadata: Sequence[Any], value: StrEnum) -> bool:
    try:
        TypeAdapter(Annotated[annotation, "a choice", *metadata]).validate_python(value)
    except ValidationError:
        return False
    return True


def other_requirements(of: dict[str, Any]) -> list[str]:
    objects = {"spec": of["properties"]["spec"]} | dict(nodes(of["properties"]["spec"], "spec"))
    required = {f"{path}.{name}" for path, node in objects.items() for name in node.get("required", ())}
    code = {f"{path}" for path, (row, _, _) in in_model().items() if row.default == "**required**"}
    return [f"{path} is required in one of the two only" for path in sorted(required ^ code)]


def test_the_crd_and_the_model_have_the_same_fields():
    assert other_fields(schema()) == []


def test_every_field_is_described_as_in_the_model_with_its_default():
    assert other_texts(schema()) == []


def test_the_same_fields_are_required():
    assert other_requirements(schema()) == []


def test_bounds_and_choices_are_the_models():
    assert other_bounds(schema()) == []


@pytest.mark.parametrize(
    ("path", "change", "found_by"),
    [
        (("limits", "properties", "maxErrors", "description"), "Default: `21`.", other_texts),
        (("limits", "properties", "maxErrors", "maximum"), 1000, other_bounds),
        (("listeners", "maxItems"), 17, other_bounds),
        (("content", "properties", "bareNewlines", "enum"), ["Normalize"], other_bounds),
        (("limits", "properties", "maxBounces"), {"type": "integer"}, other_fields),
        (("access", "properties", "addresses", "items", "maxLength"), 48, other_bounds),
        (("pod", "properties", "nodeSelector", "maxProperties"), 65, other_bounds),
        (("pod", "properties", "nodeSelector", "additionalProperties", "maxLength"), 64, other_bounds),
        (("pod", "properties", "image", "maxLength"), 1024, other_bounds),
        (("access", "required"), [], other_requirements),
    ],
)
def test_a_difference_is_found(path, change, found_by):
    """Each comparison above sees what it is there to see."""
    changed = copy.deepcopy(schema())
    *above, last = path
    node = changed["properties"]["spec"]["properties"]
    for name in above:
        node = node[name]
    node[last] = change

    assert found_by(changed)


def test_a_field_of_the_model_alone_is_found():
    changed = copy.deepcopy(schema())
    del changed["properties"]["spec"]["properties"]["content"]

    assert sorted(other_fields(changed)) == [
        "spec.content is in the model alone",
        "spec.content.bareNewlines is in the model alone",
    ]


def test_nothing_but_replicas_has_a_default():
    """What is read back is what was applied."""
    defaults = [path for path, node in nodes(schema(), "") if "default" in node]

    assert defaults == [".spec.replicas"]
    assert (
        schema()["properties"]["spec"]["properties"]["replicas"]["default"]
        == model.Spec.model_fields["replicas"].default
    )


def test_lists_are_atomic_but_for_those_that_others_write_to_as_well():
    """And those of the status, of which tools read an item by its key."""
    kinds = {
        path: node.get("x-kubernetes-list-type") for path, node in nodes(schema(), "") if node.get("type") == "array"
    }

    maps = {".spec.listeners", ".status.listeners", ".status.certificates", ".status.conditions"}
    assert {path for path, kind in kinds.items() if kind == "map"} == maps
    for path in maps:
        del kinds[path]
    assert set(kinds.values()) == {"atomic"}


def test_all_is_described_typed_and_bounded():
    """But Kubernetes' own types, which are opaque."""
    for path, node in nodes(schema(), ""):
        kind = node.get("type")
        if path in {".apiVersion", ".kind", ".metadata"}:
            continue  # Kubernetes' own, and described by it
        if not path.endswith("]"):
            assert node["description"].endswith("."), path
        match kind:
            case "string":
                assert "maxLength" in node or "enum" in node, path
            case "array":
                assert "maxItems" in node, path
            case "integer":
                assert "maximum" in node or path.startswith(".status."), path
                assert "minimum" in node, path
            case "object":
                bounded = "maxProperties" in node or "additionalProperties" not in node
                assert bounded, path
            case None:
                assert node["x-kubernetes-int-or-string"], path
            case _:
                assert kind == "boolean", path


def test_each_rule_of_the_model_has_its_rule_in_the_crd():
    """Named in a comment above it; that it says the same is seen with the corpus."""
    named = set(re.findall(r"^ *# rules\.py: (\w+)$", CRD.read_text(), re.MULTILINE))
    assert named == {rule.__name__ for rule in rules.RULES}


def test_each_validation_says_what_is_wrong_in_words():
    for path, node in nodes(schema(), ""):
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule.keys() <= {"rule", "message", "messageExpression", "fieldPath", "reason"}, path
            assert rule["message"], path
