"""Hostile names of files and classes at every door: terminal, JSON, HTML pages, Markdown."""

import io
import json
import re
import unicodedata
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.picture_files import encode, picture, store_of, write_class_folders, write_zip

from flows.cli import main
from tasks.data.find_images import find_images
from tasks.data.reason import Reason, reason_as_text
from tasks.data.rules import read_rules
from tasks.escaping import (
    PAGE_POLICY,
    as_json_text,
    as_line,
    as_markdown,
    as_markdown_lines,
    own_markdown,
    page_environment,
    printable,
    printable_lines,
)
from tasks.logs import JsonLines
from tasks.progress import Progress

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
NAMES = {
    "\x1b[31mRED\x1b]0;owned\x07\x1b[2J": "%1B[31mRED%1B]0;owned%07%1B[2J",
    "new\nline: quarantined: 0 pictures": "new%0Aline: quarantined: 0 pictures",
    "a\r\x1b[1A\x1b[Kall accepted": "a%0D%1B[1A%1B[Kall accepted",
    "\u202egnp": "%E2%80%AEgnp",
    "\u2028b\x9bc\ufeffd\u200be": "%E2%80%A8b%C2%9Bc%EF%BB%BFd%E2%80%8Be",
    SCRIPT: SCRIPT,
    "고양이 ネコ café 👩‍🔬": "고양이 ネコ café 👩‍🔬",
    "caf\udce9": "caf%E9",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_on_one_line_with_its_bytes_in_place_of_what_moves_a_cursor(
    name: str,
) -> None:
    assert printable(name) == NAMES[name]
    assert printable(printable(name)) == printable(name)


def test_output_keeps_its_lines_and_columns() -> None:
    assert printable_lines("a\tb\n\x1b[2Jc\r\nd") == "a\tb\n%1B[2Jc%0D\nd"


def test_json_is_readable_and_changes_no_terminal() -> None:
    text = as_json_text({"고양이": ["\x1b", "\x9b", "\u202e", "\n"]})
    assert json.loads(text) == {"고양이": ["\x1b", "\x9b", "\u202e", "\n"]}
    assert text == '{"고양이": ["\\u001b", "\\u009b", "\\u202e", "\\n"]}'


def test_markdown_shows_text_as_it_is() -> None:
    assert as_markdown("# a_b *c* [d](e) <f>\n& `g`") == (
        r"\# a\_b \*c\* \[d\](e) &lt;f&gt;%0A&amp; \`g\`"
    )


def test_markdown_of_several_lines_keeps_its_lines() -> None:
    assert as_markdown_lines("# a\r\n- b\x1b[2J\n\n<f>") == "\\# a\n\\- b%1B\\[2J\n\n&lt;f&gt;"


def test_a_users_own_markdown_keeps_its_markup_and_has_no_html() -> None:
    own = "# Title\n\n- *one* & [two](https://host/)\n> three"
    assert own_markdown(own) == own
    assert own_markdown("a\u202e <script>\x1b") == "a%E2%80%AE &lt;script>%1B"


def test_names_that_differ_only_in_what_cannot_be_printed_stay_different(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    content = (tmp_path / "data" / "cat" / "0.png").read_bytes()
    for name in ("a\n.png", "a%0A.png"):
        (tmp_path / "data" / "cat" / name).write_bytes(content)
    entries = find_images(tmp_path / "data", tmp_path).entries
    found = {entry.path: entry.fault for entry in entries if "%0A" in entry.path}
    assert found == {"cat/a%0A.png": None, "cat/a%0A.png (again, 2)": Reason("repeated_name")}


def _controls(text: str) -> set[str]:
    """Return the characters that change a terminal or the direction of text."""
    return {c for c in text if unicodedata.category(c) in {"Cc", "Cf"}} - {*"\n\t\u200d"}


class _Page(HTMLParser):
    """The tags of a page, the attributes of events, and its policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str | None] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        own = dict(attrs)
        if tag == "img":
            self.images.append(own.get("src"))
        if own.get("http-equiv") == "Content-Security-Policy":
            self.policy = own["content"] or ""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a zip with undecodable pictures of hostile names in classes of hostile names."""

    def add(archive: zipfile.ZipFile) -> None:
        for number, name in enumerate([n for n in NAMES if "\udce9" not in n]):
            archive.writestr(f"cat/{name}.jpg", b"broken %d" % number)
        for number in range(40):
            label = ("\x1b[2J<b>", "x\n<script>alert(3)</script>")[number % 2]
            archive.writestr(f"{label}/{number}.jpg", encode(picture(number)))

    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "plain.zip"
    with zipfile.ZipFile(path, "w") as archive:
        add(archive)
    return path


@pytest.fixture(scope="module")
def home(hostile: Path) -> Path:
    return hostile.parent / "home"


def _validate(hostile: Path, home: Path, *options: str) -> str:
    env = {"FACTORGRID_HOME": str(home), "MLFLOW_TRACKING_URI": ""}
    result = CliRunner().invoke(main, ["validate", "--data", str(hostile), *options], env=env)
    assert result.exit_code in {0, 2}, result.output
    return result.stdout + result.stderr


def test_hostile_names_reach_no_terminal_raw(hostile: Path, home: Path) -> None:
    text, content = _validate(hostile, home), _validate(hostile, home, "--json")
    assert _controls(text) == _controls(content) == set()
    assert "cat/new%0Aline: quarantined: 0 pictures.jpg" in text
    assert not any(line.startswith("line:") for line in text.splitlines())
    assert "%1b[2j<b> (20)" in text
    assert "x%0a<script>alert(3)<" in json.loads(content.splitlines()[0])["classes"]


def test_no_page_of_a_validation_runs_a_script_or_loads_anything(hostile: Path, home: Path) -> None:
    _validate(hostile, home)
    pages = list((home / "validation").rglob("*.html"))
    assert len(pages) == 6
    named = 0
    for file in pages:
        text = file.read_text(encoding="utf-8")
        page = _Page(text)
        assert page.policy == PAGE_POLICY
        assert text.index("Content-Security-Policy") < text.index("<style")
        assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
        assert "x" not in page.images
        assert "alert(2)>" not in text
        assert _controls(text) == set()
        named += "&lt;script&gt;alert(1)" in text
    assert named == 2  # our page, and the one of Great Expectations


def test_a_rules_own_text_is_escaped_in_every_page(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[pictures]]\nexpectation = "ExpectColumnValuesToNotMatchRegex"\ncolumn = "path"\n'
        f'regex = "0<script>|0"\nreason = "{SCRIPT} {{path}}"\n',
        encoding="utf-8",
    )
    from tasks.data.check_images import check_images

    source = find_images(tmp_path / "data", tmp_path)
    checked = check_images(source, store_of(tmp_path), rules=read_rules(rules))
    assert checked.reasons
    checked.validation.write_docs(tmp_path / "docs")
    for file in (tmp_path / "docs").rglob("*.html"):
        page = _Page(file.read_text(encoding="utf-8"))
        assert "script" not in page.tags
        assert "x" not in page.images


def test_the_reports_have_the_policy_and_show_what_cannot_be_printed() -> None:
    for name in ("report.html", "comparison.html"):
        source = Path("tasks/report/templates") / name
        text = (Path(__file__).parents[2] / source).read_text(encoding="utf-8")
        assert text.index("{{ page_policy }}") < text.index("<style>")
    environment = page_environment()
    template = environment.from_string('{{ page_policy }}<p title="{{ name }}">{{ name }}</p>')
    page = template.render(name='"\u202e<script>')
    assert page.endswith('<p title="&#34;%E2%80%AE&lt;script&gt;">&#34;%E2%80%AE&lt;script&gt;</p>')
    assert _Page(page).policy == PAGE_POLICY


def test_the_progress_display_and_the_log_print_names_safely() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.print_line("cat/\x1b[2J\u202e.jpg")
    assert stream.getvalue().endswith("  cat/%1B[2J%E2%80%AE.jpg\n")
    import logging

    record = logging.LogRecord("x", logging.INFO, "", 0, "a\x9b\u202e\n", None, None)
    line = JsonLines().format(record)
    assert _controls(line) == set()
    assert json.loads(line)["message"] == "a\x9b\u202e\n"


def test_the_messages_of_decoders_are_printed_safely() -> None:
    reason = Reason("damaged", {"message": "chunk \x1b[2J\n"})
    assert "chunk %1B[2J%0A" in reason_as_text(reason)


def test_an_error_of_the_command_line_is_one_line_without_control_characters(
    tmp_path: Path,
) -> None:
    result = CliRunner().invoke(
        main,
        ["search", str(tmp_path / "a\x1b[2J\nb.toml")],
        env={"FACTORGRID_HOME": str(tmp_path / "home")},
    )
    assert result.exit_code == 2
    assert _controls(result.stderr) == set()
    assert len(result.stderr.splitlines()) == 1


def test_an_inner_archive_with_a_hostile_name_is_named_safely(tmp_path: Path) -> None:
    from tasks.errors import DataError

    inner = write_zip(tmp_path / "inner.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "outer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("\x1b[2J.zip", b"\0" * 10_000_000 + inner)
    with pytest.raises(DataError, match=re.escape("%1B[2J.zip inside it is a decompression")):
        find_images(tmp_path / "outer.zip", tmp_path)


def test_a_long_word_does_not_hide_the_rest_of_a_line() -> None:
    line = as_line(f"level '{'x' * 5000}'\nis not a number;\tcorrect it")
    assert line == f"level '{'x' * 99}...{'x' * 99}' is not a number; correct it"
    path = "/" + "/".join(["folder"] * 40)
    assert as_line(f"{path}: is missing") == f"{path}: is missing"
