import pytest

from llmosd.errors import InvalidField, PathNotAllowed
from llmosd.store.names import ModelRef, check_model_id, model_name, version_name


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("smollm2", ModelRef("smollm2")),
        ("models/smollm2", ModelRef("smollm2")),
        ("models/a.b-c_d/versions/12", ModelRef("a.b-c_d", version=12)),
        ("a/versions/1", ModelRef("a", version=1)),
        ("a@live", ModelRef("a", alias="live")),
        ("models/a@next-2", ModelRef("a", alias="next-2")),
        ("x" * 64, ModelRef("x" * 64)),
    ],
)
def test_parses_what_the_grammar_allows(text, ref):
    assert ModelRef.parse(text) == ref
    assert ModelRef.parse(str(ref)) == ref


BAD = [
    "",
    " ",
    "\t",
    "\n",
    "a\n",
    " a",
    "..",
    ".",
    "../a",
    "a/../b",
    "models/../a",
    "models/",
    "models//a",
    "a/b",
    "a%2f..%2fb",
    "a\0b",
    "x" * 65,
    "-a",
    ".a",
    "_a",
    "CON",
    "Model",
    "\N{CYRILLIC SMALL LETTER A}",
    "\N{FULLWIDTH LATIN SMALL LETTER A}",
    "a\r\nb",
    "a\x1b[31m",
    "a@",
    "a@Live",
    "a@-x",
    "a/versions/",
    "a/versions/0",
    "a/versions/01",
    "a/versions/-1",
    "a/versions/\N{ARABIC-INDIC DIGIT ONE}",
    "a/versions/1@live",
    "a/versions/1234567890",
]


@pytest.mark.parametrize("text", BAD)
def test_refuses_everything_else_with_the_grammar(text):
    with pytest.raises(InvalidField, match=r"model: must be .*\[a-z0-9\]") as error:
        ModelRef.parse(text)
    assert error.value.violations[0].field == "model"


@pytest.mark.parametrize(
    "text",
    ["/etc/shadow", "/nope", "file:///etc/shadow", "~/m", "https://a/b", "C:\\m", "\\\\h\\s"],
)
def test_a_location_is_not_allowed_and_the_answer_is_always_the_same(text):
    with pytest.raises(PathNotAllowed) as error:
        ModelRef.parse(text)
    assert error.value.message == "model: a path or URL cannot name a model; use models/ID"


def test_spelling():
    assert model_name("a") == "models/a"
    assert version_name("a", 3) == "models/a/versions/3"
    assert check_model_id("a") == "a"
    with pytest.raises(InvalidField, match="model_id: must match"):
        check_model_id("a/b")
