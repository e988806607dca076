"""The part of JSON Schema that docs/openapi.json uses, compiled into functions. An unknown keyword is an error.

    check = Compiler(document).compile({"$ref": "#/components/schemas/Task"}, closed=True)
    check(value)                # raises Mismatch: where, and what is wrong

closed: an object has no members but those that its schema lists. Schemas of answers are open, since members may be added to them; what
the programs answer today is listed, every member of it.
"""

import re

ANNOTATIONS = {"description", "title", "examples", "default", "format"}
TYPES = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


class Mismatch(AssertionError):
    pass


def _fail(at, what):
    raise Mismatch(f"{at or '/'}: {what if len(what) < 500 else what[:500] + '...'}")


class Compiler:
    def __init__(self, document):
        self.document = document
        self._compiled = {}

    def resolve(self, schema):
        """Resolves a $ref; returns anything else unchanged."""
        while "$ref" in schema:
            target = self.document
            for name in schema["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            schema = target
        return schema

    def compile(self, schema, closed=False):
        check = self._check_of(schema, closed)
        return lambda value: check(value, "")

    def _check_of(self, schema, closed):
        if isinstance(schema, dict) and "$ref" in schema:
            assert set(schema) <= {"$ref"} | ANNOTATIONS, f"more than a $ref: {schema}"
            key = schema["$ref"], closed
            if key not in self._compiled:
                self._compiled[key] = None      # for a recursive schema
                self._compiled[key] = self._check_of(self.resolve(schema), closed)
            return lambda value, at: self._compiled[key](value, at)
        checks = [getattr(self, "_" + keyword.replace("$", ""))(argument, schema, closed)
                  for keyword, argument in schema.items() if keyword not in ANNOTATIONS]
        if closed and "allOf" in schema:
            checks.append(self._closed(self._members(schema)))

        def check(value, at):
            for each in checks:
                each(value, at)
        return check

    def _members(self, schema):
        schema = self.resolve(schema)
        return set(schema.get("properties", ())).union(*(self._members(part) for part in schema.get("allOf", ())))

    @staticmethod
    def _closed(members):
        def check(value, at):
            if isinstance(value, dict) and (strangers := value.keys() - members):
                _fail(at, f"members that are not described: {sorted(strangers)}")
        return check

    # -- keywords

    def _type(self, argument, schema, closed):
        names = [argument] if isinstance(argument, str) else argument
        tests = [TYPES[name] for name in names]

        def check(value, at):
            if not any(test(value) for test in tests):
                _fail(at, f"{value!r} is no {' or '.join(names)}")
        return check

    def _properties(self, argument, schema, closed):
        checks = {name: self._check_of(part, closed) for name, part in argument.items()}
        strangers = self._closed(set(argument)) if closed and "additionalProperties" not in schema else None

        def check(value, at):
            if isinstance(value, dict):
                for name, each in checks.items():
                    if name in value:
                        each(value[name], f"{at}/{name}")
                if strangers:
                    strangers(value, at)
        return check

    def _required(self, argument, schema, closed):
        def check(value, at):
            if isinstance(value, dict) and (missing := [name for name in argument if name not in value]):
                _fail(at, f"without {missing}")
        return check

    def _additionalProperties(self, argument, schema, closed):
        known = set(schema.get("properties", ()))
        if argument is True:
            return lambda value, at: None
        if argument is False:
            return self._closed(known)
        each = self._check_of(argument, closed)

        def check(value, at):
            if isinstance(value, dict):
                for name in value.keys() - known:
                    each(value[name], f"{at}/{name}")
        return check

    def _items(self, argument, schema, closed):
        each = self._check_of(argument, closed)

        def check(value, at):
            if isinstance(value, list):
                for i, item in enumerate(value):
                    each(item, f"{at}/{i}")
        return check

    def _bound(kind, measure, fits, words):
        def keyword(self, argument, schema, closed):
            def check(value, at):
                if TYPES[kind](value) and not fits(measure(value), argument):
                    _fail(at, f"{value!r} {words} {argument}")
            return check
        return keyword

    _minItems = _bound("array", len, lambda a, b: a >= b, "has fewer items than")
    _maxItems = _bound("array", len, lambda a, b: a <= b, "has more items than")
    _minLength = _bound("string", len, lambda a, b: a >= b, "is shorter than")
    _maxLength = _bound("string", len, lambda a, b: a <= b, "is longer than")
    _minimum = _bound("number", lambda value: value, lambda a, b: a >= b, "is below")
    _maximum = _bound("number", lambda value: value, lambda a, b: a <= b, "is above")
    _pattern = _bound("string", lambda value: value, lambda a, b: re.search(b, a), "is not like")

    def _enum(self, argument, schema, closed):
        def check(value, at):
            if value not in argument:
                _fail(at, f"{value!r} is none of {argument}")
        return check

    def _const(self, argument, schema, closed):
        return self._enum([argument], schema, closed)

    def _allOf(self, argument, schema, closed):
        checks = [self._check_of(part, False) for part in argument]

        def check(value, at):
            for each in checks:
                each(value, at)
        return check

    def _anyOf(self, argument, schema, closed):
        checks = [self._check_of(part, False) for part in argument]

        def check(value, at):
            mismatches = []
            for each in checks:
                try:
                    each(value, at)
                    return
                except Mismatch as mismatch:
                    mismatches.append(str(mismatch))
            _fail(at, f"is none of {len(checks)} kinds: {mismatches}")
        return check

    def _oneOf(self, argument, schema, closed):
        checks = [self._check_of(part, closed) for part in argument]

        def check(value, at):
            mismatches = []
            for each in checks:
                try:
                    each(value, at)
                except Mismatch as mismatch:
                    mismatches.append(str(mismatch))
            if len(mismatches) != len(checks) - 1:
                _fail(at, f"is {len(checks) - len(mismatches)} of {len(checks)} kinds: {mismatches}")
        return check
