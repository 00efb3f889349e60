"""Rules that people read and change, and what breaks them."""

from pathlib import Path

import pytest
from support.picture_files import store_of, write_class_folders

from tasks.data.check_images import check_images
from tasks.data.find_images import find_images
from tasks.data.reason import Reason, reason_as_text
from tasks.data.rules import Validator, read_rules
from tasks.errors import DataError


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
        f'[[set]]\nexpectation = "{BETWEEN}"\ncolumn = "accepted"\nkind = "few_pictures"',
        "'min_value'; name columns or the rule's settings",
    ),
    "an unknown expectation": (
        rule("set", "ExpectMiracles"),
        "[[set]] 1 (ExpectMiracles): Great Expectations has no expectation of this name",
    ),
    "an unknown column": (
        rule("set", BETWEEN, 'column = "widht"\nmax_value = 1'),
        "no column 'widht'; the columns are: accepted, classes",
    ),
    "an unknown setting": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_valu = 1'),
        "max_valu: extra fields not permitted",
    ),
    "a reason with an unknown name": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{maximum}"),
        "reason '{maximum}': 'maximum'; name columns or the rule's settings",
    ),
    "a regex that is none": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "("'),
        "[[pictures]] 1 (ExpectColumnValuesToMatchRegex): ",
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


def test_a_validator_without_rules_finds_nothing(few: Path, tmp_path: Path) -> None:
    table = check_images(find_images(few, tmp_path), store_of(tmp_path)).metadata
    (tmp_path / "none.toml").write_text("")
    validator = Validator(read_rules(tmp_path / "none.toml"))
    assert validator.check_pictures(table) == {}
    assert validator.check_set({"accepted": 1.0}) == ()
