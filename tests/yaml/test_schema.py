"""The JSON Schema in grammar/ is the one that the code makes, and agrees with the front end on every fixture."""

import json
import re
from pathlib import Path

import pytest
import yaml

from mergegraph.grammars import grammar_text
from mergegraph.syntax.yaml import native
from mergegraph.syntax.yaml.schema import recipe_schema, schema_text

TESTS = Path(__file__).parent.parent
FIXTURES = [
    *TESTS.glob("fixtures/mergekit/*.yml"),
    *TESTS.glob("fixtures/yaml/study/*.yml"),
    *TESTS.glob("fixtures/yaml/import/*.yml"),
]
WRONG = [
    *("unknown_key", "unknown_method", "parameter_outside", "unknown_parameter", "parameter_values", "layer_ranges"),
    *("dtype", "no_modules", "native_shape", "native_nothing_saved", "model_names", "only_text"),
]
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int}


def test_the_file_is_fresh(check_text):
    check_text(TESTS.parent / "grammar" / "recipe.schema.json", schema_text())
    assert json.loads(grammar_text("recipe.schema.json")) == recipe_schema()


def test_every_key_is_there():
    assert tuple(recipe_schema()["$defs"]["recipe"]["properties"]) == native.KEYS


def fits(value, schema):
    """Tell whether a value is valid, by the keywords that the schema uses."""
    while "$ref" in schema:
        schema = recipe_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    unknown = set(schema) - {
        *("$schema", "title", "description", "$defs", "if", "then", "else", "anyOf", "enum", "type", "properties"),
        *("additionalProperties", "required", "items", "minItems", "maxItems", "minimum", "pattern"),
        *("minProperties", "maxProperties", "const"),
    }
    assert not unknown
    if "const" in schema and value != schema["const"]:
        return False
    if "if" in schema and not fits(value, schema["then"] if fits(value, schema["if"]) else schema["else"]):
        return False
    kinds = schema.get("type", list(TYPES))
    types = [TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    if not any(isinstance(value, t) and (not isinstance(value, bool) or t is bool) for t in types):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    if isinstance(value, list):
        count = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return count and all(fits(item, schema.get("items", {})) for item in value)
    if isinstance(value, dict):
        return fits_map(value, schema)
    return "minimum" not in schema or value >= schema["minimum"]


def fits_map(value, schema):
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    if not set(schema.get("required", ())) <= value.keys() or len(value) > schema.get("maxProperties", len(value)):
        return False
    if len(value) < schema.get("minProperties", 0):
        return False
    if others is False and not value.keys() <= known.keys():
        return False
    return all(fits(item, known.get(key, others)) for key, item in value.items())


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_what_is_read_is_valid(path):
    for document in yaml.safe_load_all(path.read_text()):
        assert fits(document, recipe_schema())


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_is_invalid(name):
    path = TESTS / "fixtures" / "yaml" / "errors" / f"{name}.yml"
    assert not all(fits(document, recipe_schema()) for document in yaml.safe_load_all(path.read_text()))
