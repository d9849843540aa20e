"""Random JSON Schemas and functions, the same for the same seed; every value of them is short."""

import random

WORDS = ["name", "age", "city", "color", "size", "items", "active", "kind", "score", "tags"]


def schema(rng, depth=3):
    """A schema of an object."""
    names = rng.sample(WORDS, rng.randrange(1, 5))
    properties = {name: _value(rng, depth - 1) for name in names}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in names if rng.random() < 0.8],
        "additionalProperties": False,
    }


def _value(rng, depth):
    kinds = [
        lambda: {"type": "string", "maxLength": rng.randrange(1, 16)},
        lambda: {"type": "string", "pattern": rng.choice(["^[a-z]{2,5}$", "^[0-9]{4}-[0-9]{2}$"])},
        lambda: {
            "type": "integer",
            "minimum": -rng.randrange(50),
            "maximum": rng.randrange(1, 999),
        },
        lambda: {"type": "boolean"},
        lambda: {"type": "null"},
        lambda: {"enum": rng.sample(["red", "green", "blue", 1, 2.5, None, True], 3)},
        lambda: {"const": rng.choice(["x", 7, False])},
    ]
    if depth > 0:
        kinds += [
            lambda: schema(rng, depth),
            lambda: {
                "type": "array", "items": _value(rng, 0), "minItems": rng.randrange(2),
                "maxItems": rng.randrange(1, 4),
            },
            lambda: {"anyOf": [_value(rng, 0), _value(rng, 0)]},
        ]  # fmt: skip
    return rng.choice(kinds)()


def schemas(count, seed=0):
    rng = random.Random(seed)
    return [schema(rng) for _ in range(count)]


def tools(rng):
    """Two to four functions."""
    names = rng.sample(["get_weather", "search", "send_mail", "add", "book_table", "now"], 4)
    return [
        {"name": name, "description": f"Does {name}.", "parameters": schema(rng, 2)}
        for name in names[: rng.randrange(2, 5)]
    ]
