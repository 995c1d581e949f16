"""YAML is read by its 1.2 scalar rules, and what is written reads back as the same value under both versions."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hjepa.overrides import ConfigError, yaml12

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-yaml12.MAX_INTEGER, yaml12.MAX_INTEGER - 1)
    | st.floats(allow_nan=False)
    | st.sampled_from(["on", "off", "yes", "no", "1e-4", "null", "~", "0x10", "1_000", "12:30", "", "a: b", "- x", "#"])
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
)


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "On", "NO", "y", "n", "12:30", "0x1f", "1_000", "2024-01-01"]
)
def test_words_of_yaml_1_1_are_strings(word: str) -> None:
    assert yaml12.parse(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2E3", -2000.0),
        (".inf", float("inf")),
        ("-.Inf", float("-inf")),
        ("010", 10),
        ("+3", 3),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("True", True),
        ("false", False),
        ("1.2.3", "1.2.3"),
        ("e3", "e3"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    read = yaml12.parse(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


@given(
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner))
)
def test_what_is_written_reads_back(value: Any) -> None:
    text = yaml12.dump({"v": value})
    for read in (yaml12.parse(text), yaml.safe_load(text)):
        assert read == {"v": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "the key 'a' is given twice"),
        ("a: [1", "not readable as YAML"),
        ("? [1, 2]\n: 3", "a key must be a scalar"),
        ("a: &x [1]\n" + "\n".join(f"b{i}: *x" for i in range(yaml12.MAX_VALUES // 2)), "more than 20000 values"),
        ("a: &x [*x]", "an alias inside of what it repeats, in line 1"),
        ("a: !!python/object:os.system {}", "got the tag tag:yaml.org,2002:python/object:os.system; allowed no tags"),
        ("a: !!bool maybe", "allowed no tags"),
        (f"a: {yaml12.MAX_INTEGER}", "got the whole number 9223372036854775808; allowed 64 bits"),
        ('a: "\\ud800"', "half of a character"),
        ("a: " + "[" * 50 + "]" * 50, "nested more than 40 deep"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        yaml12.parse(text, "x.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "x.yaml" in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: no such file"):
        yaml12.read(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml12.read(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml12.read(binary)
    large = tmp_path / "large.yaml"
    large.write_text("#" * (yaml12.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="allowed at most"):
        yaml12.read(large)
