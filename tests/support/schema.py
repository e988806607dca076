"""The JSON Schemas of docs/openapi.json as functions, checked by python3-jsonschema.

    check = Compiler(document).compile({"$ref": "#/components/schemas/Task"}, closed=True)
    check(value)                # raises Mismatch: the place and the reason

closed: an object may have only the members that its schema lists, at every depth. The schemas of answers allow further members, because
later versions may add some; the programs send exactly the listed ones today.
"""

try:
    import jsonschema
except ImportError as error:
    raise ImportError("these tests need python3-jsonschema (scripts/install_deps.sh test), which Debian's /usr/bin/python3 finds") from error

SCHEMAS, CLOSED_INSIDE = "#/components/schemas/", "#/components/closed_inside/"
ANNOTATIONS = {"description", "title", "examples", "default", "format"}
WITH_SCHEMAS = ("properties", "items", "additionalProperties", "oneOf", "allOf")        # keywords whose values are schemas


def _is_integer(_, value):
    """Stricter than JSON Schema, for which 1.0 is an integer: not every client reads it as one."""
    return isinstance(value, int) and not isinstance(value, bool)


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer))
KEYWORDS = ANNOTATIONS | Validator.VALIDATORS.keys()


class Mismatch(AssertionError):
    pass


class Compiler:
    def __init__(self, document):
        self.document = document
        components = document.get("components", {})
        schemas = components.get("schemas", {})
        self._components = {**components, "closed_inside": {name: _closed_inside(schema) for name, schema in schemas.items()}}

    def resolve(self, schema):
        """Resolves a $ref; returns anything else unchanged."""
        while "$ref" in schema:
            target = self.document
            for name in schema["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            schema = target
        return schema

    def compile(self, schema, closed=False):
        validator = Validator({**(_closed(schema) if closed else schema), "components": self._components})

        def check(value):
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
            if error:
                raise Mismatch(f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:500]}")
        return check


def unknown_keywords(schema):
    """Keywords at any depth that the validator would ignore: misspelled ones."""
    if not isinstance(schema, dict):
        return set()
    found = set(schema) - KEYWORDS
    for keyword in schema.keys() & set(WITH_SCHEMAS):
        _change_each(keyword, schema[keyword], lambda part: found.update(unknown_keywords(part)))
    return found


def _change_each(keyword, value, change):
    """The value of a keyword of WITH_SCHEMAS, with each of its schemas changed."""
    if keyword == "properties":
        return {name: change(part) for name, part in value.items()}
    return [change(part) for part in value] if isinstance(value, list) else change(value)


def _closed(schema):
    """The schema, for which every member that it does not describe is a mismatch."""
    if not isinstance(schema, dict):
        return schema
    inside = _closed_inside(schema)
    # Where additionalProperties describes all other members there are none left. jsonschema 4.10 does not see that by itself.
    return inside if "additionalProperties" in schema else {**inside, "unevaluatedProperties": False}


def _closed_inside(schema):
    """Closed below its own members, as a part of allOf has to be: the other parts describe further members."""
    result = dict(schema)
    if "$ref" in schema:
        result["$ref"] = schema["$ref"].replace(SCHEMAS, CLOSED_INSIDE)
    for keyword in schema.keys() & set(WITH_SCHEMAS):
        result[keyword] = _change_each(keyword, schema[keyword], _closed_inside if keyword == "allOf" else _closed)
    return result
