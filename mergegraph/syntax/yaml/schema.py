"""The JSON Schema of recipes in YAML: for editors, which complete and check by it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from mergegraph.dtypes import DTYPES
from mergegraph.syntax.yaml.mergekit import KEYS
from mergegraph.syntax.yaml.methods import METHODS, PARAMETERS, SWITCHES, WITHOUT_EFFECT
from mergegraph.syntax.yaml.native import OPTIONS
from mergegraph.syntax.yaml.tokenizers import KEYS as TOKENIZER_KEYS

Schema: TypeAlias = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_EXPRESSION: Schema = {"$ref": "#/$defs/expression"}
_NUMBER: Schema = {"type": ["number", "string"], "pattern": r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"}
"""A number; older readers of YAML take `1e-3` for text."""

_SCALAR: Schema = {"type": ["string", "number", "boolean"]}


def recipe_schema() -> Schema:
    """Return the schema of one document: a mergekit configuration or a recipe."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MergeGraph recipe",
        "description": "A merge of checkpoints: a mergekit configuration, or a recipe of MergeGraph as a map.",
        "if": {"required": ["merge_method"]},
        "then": {"$ref": "#/$defs/configuration"},
        "else": {"$ref": "#/$defs/recipe"},
        "$defs": {**_mergekit(), **_native()},
    }


def schema_text() -> str:
    """Return the text of `grammar/recipe.schema.json`."""
    return json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n"


def _mergekit() -> Mapping[str, Schema]:
    layers = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}
    inner = {name: {"$ref": f"#/$defs/{name}"} for name in ("models", "slices", "parameters")}
    return {
        "configuration": _map(_configuration(inner), ["merge_method"]),
        "models": _list(_map({"model": {"$ref": "#/$defs/model"}, "parameters": inner["parameters"]}, ["model"])),
        "slices": _list(
            _map({"sources": _list({"$ref": "#/$defs/source"}), "parameters": inner["parameters"]}, ["sources"])
        ),
        "source": _map(
            {"model": {"$ref": "#/$defs/model"}, "layer_range": layers, "parameters": inner["parameters"]},
            ["model", "layer_range"],
        ),
        "model": {
            "anyOf": [_TEXT, {"type": "object"}],
            "description": "A folder, or a model of the Hub: `org/name@revision`.",
        },
        "tokenizer": _tokenizer(),
        "parameters": _map({name: _parameter(name) for name in sorted(PARAMETERS)}),
        "value": _value(),
    }


def _configuration(inner: Mapping[str, Schema]) -> Mapping[str, Schema]:
    dtype = {"enum": [name for name, dtype in DTYPES.items() if dtype.mergeable]}
    known: Mapping[str, Schema] = {
        "merge_method": {"enum": list(METHODS)},
        "base_model": {"$ref": "#/$defs/model"},
        **inner,
        "modules": {"type": "object", "additionalProperties": _map(inner), "minProperties": 1},
        "dtype": dtype,
        "out_dtype": dtype,
        "tokenizer_source": {"$ref": "#/$defs/model"},
        "tokenizer": {"$ref": "#/$defs/tokenizer"},
        "chat_template": _TEXT,
        "name": _TEXT,
    }
    return {key: known[key] for key in KEYS}


def _tokenizer() -> Schema:
    source = {
        "zero": _map({"kind": {"const": "zero"}}, ["kind"]),
        "model_token": _map(
            {
                "kind": {"const": "model_token"},
                "model": {"$ref": "#/$defs/model"},
                "token": _TEXT,
                "token_id": {"type": "integer", "minimum": 0},
            },
            ["kind", "model"],
        ),
    }
    token = _map({"source": {"anyOf": [_TEXT, *source.values()]}, "force": {"type": "boolean"}}, ["source"])
    known: Mapping[str, Schema] = {
        "source": {"$ref": "#/$defs/model"},
        "tokens": {"type": "object", "additionalProperties": token},
        "pad_to_multiple_of": {"type": "integer", "minimum": 1},
    }
    return _map({key: known[key] for key in TOKENIZER_KEYS})


def _parameter(name: str) -> Schema:
    if name in SWITCHES or name in WITHOUT_EFFECT:
        return {"type": ["boolean", "number"]}
    return {"$ref": "#/$defs/value"}


def _value() -> Schema:
    plain = {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1}]}
    conditional = _map({"filter": _TEXT, "value": plain}, ["value"])
    return {
        "description": "A number, a gradient over the layers, or one of these for the names that contain `filter`.",
        "anyOf": [plain, conditional, _list({"anyOf": [conditional, _NUMBER]})],
    }


def _native() -> Mapping[str, Schema]:
    named = {"type": "object", "additionalProperties": _EXPRESSION}
    output = {
        "for": {**named, "maxProperties": 1},
        "value": _EXPRESSION,
        "to": _TEXT,
        **dict.fromkeys(OPTIONS, _SCALAR),
    }
    return {
        "recipe": _map(
            {
                "import": {"anyOf": [_TEXT, _list(_TEXT)]},
                "seed": {"type": "integer", "minimum": 0},
                "fn": {"type": "object", "additionalProperties": _TEXT},
                "let": named,
                "save": {"anyOf": [{"$ref": "#/$defs/output"}, _list({"$ref": "#/$defs/output"})]},
            },
            ["save"],
        ),
        "output": _map(output, ["value", "to"]),
        "expression": {
            "description": "An expression of the language, a list of them, or a choice by tensor name.",
            "anyOf": [_SCALAR, {"type": "array", "items": _EXPRESSION}, _map({"select": named}, ["select"])],
        },
    }


def _map(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return found | ({"required": list(required)} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}
