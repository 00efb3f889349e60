"""Rules that people read and change, and what breaks them."""

import re
from pathlib import Path

import pandas as pd
import pytest
from support.picture_files import store_of, write_class_folders

from tasks.data.check_images import check_images
from tasks.data.expectations import (
    EXPECTATIONS,
    fault_of_settings,
    setting_names,
    settings_for_library,
)
from tasks.data.find_images import find_images
from tasks.data.reason import Reason, reason_as_text
from tasks.data.reason_template import ReasonTemplate
from tasks.data.rules import STATUS, Validator, read_rules
from tasks.errors import DataError

ROOT = Path(__file__).parents[3]


def faults_of(folder: Path, home: Path, rules: str | None = None) -> tuple[str, ...]:
    path = None
    if rules is not None:
        path = home / "rules.toml"
        path.write_text(rules, encoding="utf-8")
    source = find_images(folder, home)
    faults = check_images(source, store_of(home), rules=read_rules(path)).validation.faults
    return tuple(reason_as_text(fault) for fault in faults)


def test_a_set_that_follows_the_rules_passes(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 25, 25)
    assert faults_of(tmp_path / "data", tmp_path) == ()


def test_too_few_pictures_of_one_class_break_two_rules(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 30, 2)
    share = "6.2% of the pictures, less than 20% of an equal share among 2 classes"
    assert faults_of(tmp_path / "data", tmp_path) == (
        "32 pictures are accepted, fewer than 40",
        f"the smallest class has {share}",
    )


def test_a_set_of_broken_pictures_stops(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 25, 25)
    for index in range(20):
        (tmp_path / "data" / "cat" / f"broken{index}.jpg").write_bytes(b"broken %d" % index)
    faults = faults_of(tmp_path / "data", tmp_path)
    assert faults == ("28.6% of the pictures break a rule, more than 20%",)


def test_pictures_under_two_labels_stop(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 25, 25)
    for index in range(2):
        content = (tmp_path / "data" / "cat" / f"{index}.png").read_bytes()
        (tmp_path / "data" / "dog" / f"again{index}.png").write_bytes(content)
    assert "7.69% of the pictures have two labels" in faults_of(tmp_path / "data", tmp_path)[0]


def test_darker_pictures_than_last_time_stop_until_they_are_accepted(tmp_path: Path) -> None:
    folder, store = tmp_path / "data", store_of(tmp_path)
    write_class_folders(folder, 60, 60)
    first = check_images(find_images(folder, tmp_path), store)
    assert first.validation.faults == ()
    store.accept(find_images(folder, tmp_path), first.profile)
    write_class_folders(folder, 60, 60, lambda image: image // 3)
    second = check_images(find_images(folder, tmp_path), store)
    assert len(second.validation.faults) == 1
    assert "brightness has changed by 0." in reason_as_text(second.validation.faults[0])
    store.accept(find_images(folder, tmp_path), second.profile)
    assert check_images(find_images(folder, tmp_path), store).validation.faults == ()


def test_a_study_can_have_its_own_rules(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    rules = """
        [[pictures]]
        expectation = "ExpectColumnValuesToNotMatchRegex"
        column = "path"
        regex = "3"
        reason = "nobody likes {path}"
        [[set]]
        expectation = "ExpectColumnValuesToBeBetween"
        column = "accepted"
        max_value = 3
        reason = "{accepted:.0f} are more than {max_value}"
    """
    assert faults_of(tmp_path / "data", tmp_path, rules) == ("6 are more than 3",)


def rule(table: str, expectation: str, settings: str = "", reason: str = "x") -> str:
    """Return a file of one rule."""
    return f'[[{table}]]\nexpectation = "{expectation}"\n{settings}\nreason = "{reason}"\n'


BETWEEN = "ExpectColumnValuesToBeBetween"


BAD_RULES = {
    "no TOML": ("[[pictures", "cannot be read as TOML"),
    "an unknown table": ("[[picture]]\n", "picture: Extra inputs are not permitted"),
    "no reason": (
        '[[set]]\nexpectation = "ExpectMiracles"',
        "set.1: expected either `reason` or `kind`",
    ),
    "a reason and a kind": (
        rule("set", BETWEEN, 'kind = "few_pictures"'),
        "set.1: expected either `reason` or `kind`",
    ),
    "an unknown kind": (
        '[[set]]\nexpectation = "ExpectMiracles"\nkind = "ugly"',
        "set.1: `kind` 'ugly' does not exist",
    ),
    "a kind whose text names a missing setting": (
        (
            f'[[set]]\nexpectation = "{BETWEEN}"\ncolumn = "accepted"\nmax_value = 1\n'
            'kind = "few_pictures"'
        ),
        "'min_value'; name columns or the rule's settings",
    ),
    "an unknown expectation": (
        rule("set", "ExpectMiracles"),
        "set.1: `expectation` 'ExpectMiracles' is not one of: ExpectColumnValuesToBeBetween, ",
    ),
    "an unknown column": (
        rule("set", BETWEEN, 'column = "widht"\nmax_value = 1'),
        "no column 'widht'; the columns are: accepted, classes",
    ),
    "an unknown setting": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_valu = 1'),
        "set.1: max_valu: not a setting of ExpectColumnValuesToBeBetween; it has: column, ",
    ),
    "a reason with an unknown name": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{maximum}"),
        "reason '{maximum}': 'maximum'; name columns or the rule's settings",
    ),
    "a regex that is none": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "("'),
        "pictures.1: regex: Invalid regular expression: missing )",
    ),
    "a condition in Python": (
        rule(
            "pictures",
            BETWEEN,
            'column = "width"\nmin_value = 1\ncondition_parser = "pandas"\n'
            "row_condition = \"@pd.io.common.os.system('exit 1') == 0\"",
        ),
        "pictures.1: condition_parser: not a setting of ExpectColumnValuesToBeBetween",
    ),
    "a setting of Great Expectations for notes": (
        rule("pictures", BETWEEN, 'column = "width"\nmin_value = 1\nnotes = "z"'),
        "pictures.1: notes: not a setting of",
    ),
    "a setting of Great Expectations for metadata": (
        rule("pictures", BETWEEN, 'column = "width"\nmin_value = 1\nmeta = {a = 1}'),
        "pictures.1: meta: not a setting of",
    ),
    "a query": (
        rule("pictures", "ExpectQueryResultsToMatchComparison", "base_query = 'select 1'"),
        "`expectation` 'ExpectQueryResultsToMatchComparison' is not one of",
    ),
    "the base class of expectations": (rule("set", "Expectation"), "'Expectation' is not one of"),
    "a bound that is not a number": (
        rule("set", BETWEEN, 'column = "accepted"\nmin_value = nan'),
        "set.1: min_value: a finite number of at most 2^53 is required, given nan",
    ),
    "an infinite bound": (
        rule("set", BETWEEN, 'column = "accepted"\nmin_value = -inf'),
        "set.1: min_value: a finite number of at most 2^53 is required, given -inf",
    ),
    "a bound with 400 digits": (
        rule("set", BETWEEN, f'column = "accepted"\nmin_value = 1{"0" * 400}'),
        "set.1: min_value: a finite number of at most 2^53 is required, given 1000",
    ),
    "a bound that is text": (
        rule("set", BETWEEN, 'column = "accepted"\nmin_value = "1"'),
        "set.1: min_value: a finite number of at most 2^53 is required, given '1'",
    ),
    "bounds in the wrong order": (
        rule("set", BETWEEN, 'column = "accepted"\nmin_value = 2\nmax_value = 1'),
        "set.1: `min_value` 2 is above `max_value` 1",
    ),
    "no bound": (
        rule("set", BETWEEN, 'column = "accepted"'),
        "set.1: give `min_value`, `max_value` or both",
    ),
    "no column": (rule("set", BETWEEN, "min_value = 1"), "set.1: column: missing"),
    "a list in a set of values": (
        rule("pictures", "ExpectColumnValuesToBeInSet", 'column = "label"\nvalue_set = [["a"]]'),
        "pictures.1: value_set: each value is a text of at most 500 characters",
    ),
    "a pattern with a boundary of words": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "a\\\\b"'),
        "pictures.1: regex: '\\\\b' is not allowed in a pattern; write character classes",
    ),
    "a pattern with a back-reference": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "(a)\\\\1"'),
        "pictures.1: regex: '\\\\1' is not allowed in a pattern",
    ),
    "a pattern with a flag in its middle": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "a(?i)b"'),
        "'(?' is not allowed in a pattern; write groups as (?:...), (?i) only at the beginning",
    ),
    "a share of rows that follow a rule": (
        rule("set", BETWEEN, 'column = "accepted"\nmin_value = 1\nmostly = 0.9'),
        "set.1: mostly: not a setting of ExpectColumnValuesToBeBetween; remove it: every row is",
    ),
    "a set of 100,001 values": (
        rule(
            "pictures",
            "ExpectColumnValuesToBeInSet",
            f'column = "label"\nvalue_set = {[1] * 100_001}',
        ),
        "pictures.1: value_set: List should have at most 100000 items",
    ),
    "a pattern with a look-ahead": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "(?=a)"'),
        "pictures.1: regex: '(?' is not allowed in a pattern",
    ),
    "numbers asked of a column of text": (
        rule("pictures", BETWEEN, 'column = "label"\nmin_value = 1'),
        "rules: [[pictures]] 1 (ExpectColumnValuesToBeBetween): ",
    ),
    "a reason with an attribute": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{accepted.__class__}"),
        "set.1: reason: a field is {name} or {name:format}",
    ),
    "a reason with an index": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{accepted[0]}"),
        "set.1: reason: a field is {name} or {name:format}",
    ),
    "a reason with a width": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{accepted:2000000000}"),
        "set.1: reason: a field is {name} or {name:format}",
    ),
    "a reason with a conversion": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{accepted!r}"),
        "set.1: reason: a field is {name} or {name:format}",
    ),
    "a reason with a nested field": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{accepted:{classes}}"),
        "set.1: reason: a field is {name} or {name:format}",
    ),
    "a reason with a number format for text": (
        rule("pictures", BETWEEN, 'column = "width"\nmax_value = 1', "{label:.1f}"),
        "reason '{label:.1f}': label is text and has no number format",
    ),
    "a reason of 501 characters": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "x" * 501),
        "set.1: reason: longer than 500 characters",
    ),
    "tables in tables without end": ("a = " + "[" * 3000, "cannot be read as TOML: "),
    "201 rules": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1') * 201,
        "set: Tuple should have at most 200 items",
    ),
}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    write_class_folders(folder, 4, 4)
    return folder


@pytest.mark.parametrize("name", BAD_RULES)
def test_a_bad_rule_is_one_line(few: Path, tmp_path: Path, name: str) -> None:
    text, message = BAD_RULES[name]
    with pytest.raises(DataError) as caught:
        faults_of(few, tmp_path, text)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


def test_every_listed_expectation_is_checked(few: Path, tmp_path: Path) -> None:
    """The list beside the built-in rules is complete, and Great Expectations knows each entry."""
    listed = re.findall(
        r"^#   (Expect\w+) +(.+)$", (ROOT / "tasks/data/rules.toml").read_text(), re.MULTILINE
    )
    assert {n: s.split(", ") for n, s in listed} == {n: setting_names(n) for n in EXPECTATIONS}
    values = {
        "column": '"path"',
        "min_value": "1",
        "max_value": "2",
        "strict_min": "true",
        "strict_max": "true",
        "value_set": '["cat", 1, 1.5, true]',
        "regex": '"[0-9]"',
        "column_A": '"width"',
        "column_B": '"height"',
        "or_equal": "true",
    }
    rules = ""
    for name, settings in listed:
        own = {s: values[s] for s in settings.split(", ")}
        if name == BETWEEN:
            own["column"] = '"width"'
        rules += rule("pictures", name, "\n".join(f"{s} = {v}" for s, v in own.items()))
    (tmp_path / "rules.toml").write_text(rules, encoding="utf-8")
    checked = check_images(
        find_images(few, tmp_path), store_of(tmp_path), rules=read_rules(tmp_path / "rules.toml")
    )
    outcomes = checked.validation.result["pictures"]
    assert [o["expectation"] for o in outcomes] == list(EXPECTATIONS)
    broken = {o["expectation"]: o["result"].get("unexpected_count") for o in outcomes}
    assert broken[BETWEEN] == broken["ExpectColumnValuesToNotMatchRegex"] == 8
    assert broken["ExpectColumnValuesToBeUnique"] == broken["ExpectColumnPairValuesToBeEqual"] == 0


PATTERNS = {
    r"\d": "1",
    r"[\d.]+$": "1.5",
    r"^\w+\s\w+$": "one two",
    r"^[^\s]+$": "one",
    r"^\D\W\S$": "a-b",
    r"^C:\\dir$": "C:\\dir",
    r"^\\\d$": "\\7",
    r"(?i)^CAT$": "cat",
    r"^[(?]$": "?",
    r"^(a(b|c))+[(]$": "abac(",
    r"^[]\d]+$": "]5",
    r"^[[:alpha:]\d]+$": "a5",
    r"^\[d\]$": "[d]",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_has_the_usual_classes(pattern: str) -> None:
    expectation = "ExpectColumnValuesToMatchRegex"
    settings = {"column": "path", "regex": pattern}
    assert fault_of_settings(expectation, settings) == ""
    translated = settings_for_library(expectation, settings)["regex"]
    texts = pd.Series([PATTERNS[pattern], "\N{KATAKANA LETTER A}"], dtype="str")
    # Otherwise pandas uses Python's `re`, which needs unbounded time for some patterns.
    assert not texts.array._needs_python_regex(translated)  # type: ignore[attr-defined] # private
    assert list(texts.str.contains(translated)) == [True, pattern == r"^[^\s]+$"]


def test_a_pattern_for_which_python_needs_unbounded_time_is_answered(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    name = f"고양이 {'a' * 80}.png"
    (tmp_path / "data" / "cat" / "0.png").rename(tmp_path / "data" / "cat" / name)
    rules = rule(
        "pictures",
        "ExpectColumnValuesToNotMatchRegex",
        r"""column = "path"
        regex = '(\w|\w\w)+!$|[1-3]\.png'""",
    )
    (tmp_path / "rules.toml").write_text(rules, encoding="utf-8")
    source = find_images(tmp_path / "data", tmp_path)
    checked = check_images(source, store_of(tmp_path), rules=read_rules(tmp_path / "rules.toml"))
    assert len(checked.reasons) == 6
    assert f"cat/{name}" not in checked.reasons
    settings = checked.validation.result["pictures"][0]["settings"]
    assert settings["regex"].startswith(r"(\w|\w\w)+")


def test_a_set_may_have_100000_values() -> None:
    settings = {"column": "label", "value_set": [str(number) for number in range(100_000)]}
    assert fault_of_settings("ExpectColumnValuesToBeInSet", settings) == ""


def test_a_reason_may_have_a_format_of_whole_numbers() -> None:
    template = ReasonTemplate("{width:d} {width:,d} {share:d} {path:d}")
    assert template.fault == ""
    assert template.fill_in({"width": 12000.0, "share": 7, "path": "x"}) == "12000 12,000 7 x"


def test_a_reason_fills_in_names_and_number_formats_only() -> None:
    template = ReasonTemplate("{{{width:,}}} of {share:.1%} in {path}, {height:.2f} {x:.3g}")
    values = {"width": 12000, "share": 0.125, "path": "{share}", "height": None, "x": 0.00012345}
    assert template.fault == ""
    assert template.fill_in(values) == "{12,000} of 12.5% in {share}, None 0.000123"
    assert len(ReasonTemplate("{path}" * 80).fill_in({"path": "x" * 4096})) == 1000


def test_a_rules_own_text_can_name_the_reason_of_a_broken_picture(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    (tmp_path / "data" / "cat" / "0.png").write_bytes(b"")
    settings = 'column = "decodable"\nvalue_set = [true]'
    text = rule("pictures", "ExpectColumnValuesToBeInSet", settings, "broken: {why}")
    (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    source = find_images(tmp_path / "data", tmp_path)
    rules = read_rules(tmp_path / "rules.toml")
    reasons = check_images(source, store_of(tmp_path), rules=rules).reasons
    details = {"rule": "broken: {why}", "text": "broken: empty: 0 bytes"}
    assert reasons == {"cat/0.png": [Reason("broken_rule", details)]}


def test_a_missing_file_of_rules_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rules .*nowhere\.toml: cannot be read"):
        read_rules(tmp_path / "nowhere.toml")


def test_data_docs_load_nothing_from_other_hosts(few: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    checked = check_images(find_images(few, tmp_path), store_of(tmp_path))
    checked.validation.write_docs(docs)
    pages = list(docs.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 'src="http' not in text
        assert '<link rel="stylesheet" href="http' not in text
        assert "url('http" not in text


def test_data_docs_name_their_pages_and_agree_with_the_validation(
    few: Path, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    (few / "cat" / "broken.jpg").write_bytes(b"no picture")
    checked = check_images(find_images(few, tmp_path), store_of(tmp_path))
    checked.validation.write_docs(docs)
    index = (docs / "index.html").read_text(encoding="utf-8")
    linked = re.findall(r'<a href="([^"]+)">', index)
    assert len(linked) == 4
    assert all((docs / page).is_file() for page in linked)
    assert str(tmp_path) not in index
    (pictures,) = (docs / "validations" / "pictures").rglob("*.html")
    (whole,) = (docs / "validations" / "set").rglob("*.html")
    assert "some pictures break a rule; they are in quarantine" in pictures.read_text("utf-8")
    for page in (pictures, whole):
        assert not STATUS.search(page.read_text(encoding="utf-8"))


def test_a_validator_without_rules_finds_nothing(few: Path, tmp_path: Path) -> None:
    table = check_images(find_images(few, tmp_path), store_of(tmp_path)).metadata
    (tmp_path / "none.toml").write_text("")
    validator = Validator(read_rules(tmp_path / "none.toml"))
    assert validator.check_pictures(table) == {}
    assert validator.check_set({"accepted": 1.0}) == ()
