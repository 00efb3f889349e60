"""Rules for each picture and for the whole set, checked by Great Expectations.

No other module imports Great Expectations. The rules are a file that people read and change:
``rules.toml`` beside this module, or a copy of it that a study names.
"""

import html
import logging
import re
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tasks.data.expectations import fault_of_settings, settings_for_library
from tasks.data.reason import Reason, english_template, reason_as_text, value_as_text
from tasks.data.reason_template import ReasonTemplate
from tasks.data.rule_text import rule_as_text
from tasks.errors import DataError
from tasks.escaping import PAGE_POLICY_ELEMENT, map_texts, printable
from tasks.languages import translator
from tasks.study.toml_file import read_toml

#: The settings that name a column.
COLUMN_SETTINGS = ("column", "column_A", "column_B")
#: Rules of each kind, at most.
MAX_RULES = 200
#: What a page of Data Docs would load, and its scripts, which do nothing without libraries from
#: other hosts. They are removed: the pages work offline, and reading them is visible to nobody.
REMOTE = re.compile(
    r"<script\b[^>]*>.*?</script\s*>|<link\b[^>]*>"
    r"|<img[^>]*\bsrc=\"https?://[^>]*>|url\('https?://[^)]*'\)",
    re.DOTALL | re.IGNORECASE,
)
#: The beginning of a page's head, where the policy of the page stands.
HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
#: The style of the pages without it.
PLAIN = (
    "<style>body{font:14px/1.5 sans-serif;margin:1.5em;max-width:75em}table{border-collapse:"
    "collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}"
    "ul{list-style:none;padding-left:0}svg,img,button,.btn-group,.modal,footer{"
    "display:none}.card:has(.btn-group),.card.collapse,[data-toggle=collapse],code{display:none}"
    ".fa-check-circle::before{content:'kept'}.fa-times::before{content:'broken'}"
    "</style></head>"
)
#: What a page says of all of its rules together: an icon, and a word that is about the library's
#: idea of success. A picture that breaks a rule is put in quarantine, and the set may still pass.
STATUS = re.compile(
    r"<i class=\"fas fa-(?:check-circle|times)[^>]*>\s*</i>\s*\b(?P<word>Succeeded|Failed)\b"
)
STATUS_TEXTS = {
    ("pictures", "Succeeded"): "every picture keeps every rule",
    ("pictures", "Failed"): "some pictures break a rule; they are in quarantine",
    ("set", "Succeeded"): "the whole set keeps every rule",
    ("set", "Failed"): "the whole set breaks a rule; a study stops here",
}
#: The index: that of the library is filled by scripts, and has nothing without them.
INDEX = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">{policy}<title>Data Docs</title>'
    "<style></style></head><body><h1>Data Docs</h1><ul>{links}</ul></body></html>"
)


class Rule(BaseModel):
    """One expectation of Great Expectations, and the reason that is given if it is not met.

    Every other field is a setting of the expectation, see `tasks.data.expectations`.

    Attributes
    ----------
    expectation : its name, one of `tasks.data.expectations.EXPECTATIONS`.
    kind : the kind of the reason, whose text is in `tasks/words.toml`; empty if the rule has its
        own text.
    reason : the rule's own text, with ``{name}`` for settings and columns; empty if it has a kind.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    expectation: str
    kind: str = ""
    reason: str = ""

    @model_validator(mode="after")
    def _has_one_text(self) -> Self:
        if bool(self.kind) == bool(self.reason):
            raise PydanticCustomError("reason", "expected either `reason` or `kind`")
        if self.kind:
            try:
                english_template(self.kind)
            except KeyError as error:
                raise PydanticCustomError(
                    "kind", "`kind` {kind} does not exist", {"kind": f"{self.kind!r:.100}"}
                ) from error
        elif fault := ReasonTemplate(self.reason).fault:
            raise PydanticCustomError("reason", "reason: {fault}", {"fault": fault})
        return self

    @model_validator(mode="after")
    def _has_known_settings(self) -> Self:
        if fault := fault_of_settings(self.expectation, self.settings):
            raise PydanticCustomError("settings", "{fault}", {"fault": fault})
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The expectation's own settings."""
        return dict(self.model_extra or {})

    @property
    def columns(self) -> list[str]:
        """The columns that the settings name."""
        return [self.settings[name] for name in COLUMN_SETTINGS if name in self.settings]

    @property
    def template(self) -> str:
        """The English text of the reason, with ``{name}`` in place of each value."""
        return english_template(self.kind) if self.kind else self.reason

    def reason_for(self, row: Mapping[str, Any]) -> Reason:
        """Return the reason for a row that breaks the rule.

        Parameters
        ----------
        row : column -> value.
        """
        values = {**row, **self.settings}
        if not self.kind:
            texts = {name: value_as_text(values[name]) for name in self._own_text.names}
            text = self._own_text.fill_in(texts)
            return Reason("broken_rule", {"rule": self.reason, "text": text})
        names = {name for _, name, _, _ in string.Formatter().parse(self.template) if name}
        return Reason(self.kind, {name: _as_json(values[name]) for name in sorted(names)})

    @property
    def _own_text(self) -> ReasonTemplate:
        return ReasonTemplate(self.reason)

    def fault_of_text(self, row: Mapping[str, Any]) -> str:
        """Return why the reason cannot be worded for a row; empty if it can."""
        try:
            reason_as_text(self.reason_for(row))
        except KeyError as error:
            return f"{error}; name columns or the rule's settings in {{}}"
        except (ValueError, TypeError) as error:
            return f"{error}; the value is of another type"
        values = {**row, **self.settings}
        for name in self._own_text.formatted_names():
            if isinstance(values[name], str):
                return f"{name} is text and has no number format"
        return ""


class Rules(BaseModel):
    """A file of rules: ``[[pictures]]`` and ``[[set]]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pictures: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()
    set: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()


def read_rules(path: Path | None = None) -> Rules:
    """Read a file of rules; the rules that come with FactorGrid if no path is given.

    Raises
    ------
    DataError
        If it cannot be read, or is not a file of rules.
    """
    where = path or Path(str(resources.files("tasks.data") / "rules.toml"))
    try:
        content = read_toml(where)
    except (OSError, ValueError) as error:
        raise DataError(f"rules {where}: cannot be read as TOML: {error}") from error
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in fault["loc"])
        raise DataError(
            f"rules {where}: {place:.100}: {fault['msg']}; correct it: a rule has `expectation`, "
            "`reason` (or a built-in `kind`) and the expectation's settings, under [[pictures]] or "
            "[[set]]"
        ) from error


def load_great_expectations() -> None:
    """Import Great Expectations, which takes one or two seconds, before it is needed."""
    import great_expectations.expectations  # noqa: F401 # it stays loaded for later imports


@dataclass(frozen=True)
class Validation:
    """The result of checking the rules.

    Attributes
    ----------
    reasons : file -> the rules that it breaks.
    faults : the rules that the whole set breaks; if there are any, the study stops.
    result : the results of Great Expectations, as plain JSON types.
    write_docs : writes Data Docs to a folder: pages that load nothing from other hosts.
    """

    reasons: dict[str, list[Reason]]
    faults: tuple[Reason, ...]
    result: dict[str, Any] = field(repr=False)
    write_docs: Callable[[Path], None] = field(repr=False)


class Validator:
    """Checks rules, and keeps the results for Data Docs.

    Parameters
    ----------
    rules : the rules to check.
    """

    def __init__(self, rules: Rules) -> None:
        import great_expectations as gx

        self.rules = rules
        self.result: dict[str, Any] = {}
        # The library sets this level when it is imported, and logs every temporary folder.
        logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
        # Ephemeral: its state is in memory, not in the user's folders.
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        self._data = self._context.data_sources.add_pandas("metadata")
        self._escaped: set[Any] = set()

    def write_docs(self, folder: Path) -> None:
        """Write Data Docs of the results to a folder."""
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
        self._context.add_data_docs_site(str(folder), site)
        self._context.build_data_docs(site_names=[str(folder)])
        for unused in ("fonts", "images"):
            shutil.rmtree(folder / "static" / unused, ignore_errors=True)
        for page in folder.rglob("*.html"):
            text = REMOTE.sub("", page.read_text(encoding="utf-8"))
            text = HEAD.sub(lambda found: found[0] + PAGE_POLICY_ELEMENT, text, count=1)
            text = _with_status(text, page.relative_to(folder).parts)
            page.write_text(text.replace("</head>", PLAIN, 1), encoding="utf-8")
        _write_index(folder)

    def check_pictures(
        self, table: pd.DataFrame, unreadable: Mapping[str, Reason] | None = None
    ) -> dict[str, list[Reason]]:
        """Check the rules for each picture.

        Parameters
        ----------
        table : the metadata, one row per picture.
        unreadable : file -> why it cannot be read or decoded.

        Returns
        -------
        File -> the rules that it breaks.

        Raises
        ------
        DataError
            If Great Expectations does not know a rule, or a column that a rule names is missing.
        """
        unreadable = unreadable or {}
        columns = table.drop(columns="thumb", errors="ignore")
        outcomes = self._run("pictures", self.rules.pictures, columns, ["path"])
        rows = columns.set_index("path", drop=False)
        reasons: dict[str, list[Reason]] = {}
        for rule, outcome in zip(self.rules.pictures, outcomes, strict=True):
            for found in outcome["result"].get("unexpected_index_list") or []:
                path = found["path"]
                row = {**dict(rows.loc[path]), "why": unreadable.get(path, "")}
                reasons.setdefault(path, []).append(rule.reason_for(row))
        return reasons

    def check_set(self, summary: Mapping[str, float | None]) -> tuple[Reason, ...]:
        """Check the rules for the whole set, and return those that are broken.

        Parameters
        ----------
        summary : the figures of the whole set; None if a figure is unknown.

        Raises
        ------
        DataError
            As `check_pictures` does.
        """
        table = pd.DataFrame({k: [float("nan") if v is None else v] for k, v in summary.items()})
        outcomes = self._run("set", self.rules.set, table, None)
        self.result["summary"] = dict(summary)
        pairs = zip(self.rules.set, outcomes, strict=True)
        return tuple(rule.reason_for(summary) for rule, outcome in pairs if not outcome["success"])

    def _run(
        self, name: str, rules: Sequence[Rule], table: pd.DataFrame, index: list[str] | None
    ) -> list[dict[str, Any]]:
        """Check rules on a table; return complete results in the order of the rules."""
        import great_expectations as gx
        from great_expectations.core.run_identifier import RunIdentifier

        self.result[name] = []
        if not rules:
            return []
        suite = gx.ExpectationSuite(
            name=name,
            expectations=[_expectation(name, i, rule, table) for i, rule in enumerate(rules, 1)],
        )
        table = _needed_columns(table, rules, index or [])
        batch = self._data.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=self._context.suites.add(suite))
        )
        form: dict[str, Any] = {"result_format": "COMPLETE"}
        if index:
            form["unexpected_index_column_names"] = index
        # Not by a checkpoint: there are no actions and no second definition to run.
        found = definition.run(
            batch_parameters={"dataframe": table},
            result_format=form,
            run_id=RunIdentifier(run_name="validation"),
        )
        outcomes = {o["expectation_config"]["meta"]["rule"]: o for o in _outcomes_as_json(found)}
        self._escape_stored_results()
        ordered = [outcomes[i] for i in range(1, len(rules) + 1)]
        for number, (rule, outcome) in enumerate(zip(rules, ordered, strict=True), 1):
            _raise_if_not_checked(name, number, rule, outcome)
        self.result[name] = [_summary_of(rule, o) for rule, o in zip(rules, ordered, strict=True)]
        return ordered

    def _escape_stored_results(self) -> None:
        """Escape the texts in the results from which Data Docs are made.

        The library writes lists of values, such as the names of files, into its pages as they are.
        """
        store = self._context.validation_results_store
        for key in store.list_keys():
            if key in self._escaped:
                continue
            stored = store.get(key)
            for outcome in stored.results:
                outcome.result = map_texts(outcome.result, _as_html)
            store.set(key, stored)
            self._escaped.add(key)


def _with_status(page: str, path: Sequence[str]) -> str:
    """Return a page of Data Docs whose status says what it means for the pictures."""
    suite = "pictures" if "pictures" in path else "set"
    return STATUS.sub(lambda found: STATUS_TEXTS[suite, found["word"]], page)


def data_docs_pages(folder: Path) -> list[tuple[str, str]]:
    """Return the pages of Data Docs in a folder: the path in it, and what the page has."""
    pages = [
        page.relative_to(folder).as_posix()
        for kind in ("validations", "expectations")
        for page in sorted((folder / kind).rglob("*.html"))
    ]
    return [(quote(page), _title(page)) for page in pages]


def _write_index(folder: Path) -> None:
    """Write an index of Data Docs that names their pages."""
    pages = data_docs_pages(folder)
    links = "".join(f'<li><a href="{page}">{_as_html(title)}</a></li>' for page, title in pages)
    text = INDEX.format(policy=PAGE_POLICY_ELEMENT, links=links)
    (folder / "index.html").write_text(text.replace("</head>", PLAIN, 1), encoding="utf-8")


def _title(page: str) -> str:
    """Return what a page of Data Docs has: the rules, or their results."""
    kind, suite, *_ = page.split("/")
    suite = suite.removesuffix(".html")
    about = {"pictures": "each picture", "set": "the whole set"}.get(suite, suite)
    return f"{'Results of the rules' if kind == 'validations' else 'Rules'} for {about}"


def _as_html(text: str) -> str:
    return html.escape(printable(text))


def _as_json(value: Any) -> Any:
    """Return a value of a table as a plain JSON type, or a reason as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _needed_columns(
    table: pd.DataFrame, rules: Sequence[Rule], index: Sequence[str]
) -> pd.DataFrame:
    """Return the columns that rules name: the library hashes and copies every cell of a table."""
    named = {*index, *(column for rule in rules for column in rule.columns)}
    return table[[name for name in table.columns if name in named]]


def _outcomes_as_json(found: Any) -> list[dict[str, Any]]:
    return [outcome.to_json_dict() for outcome in found.results]


def _expectation(table_name: str, number: int, rule: Rule, table: pd.DataFrame) -> Any:
    import great_expectations.expectations as gxe
    from great_expectations.compatibility import pydantic as gx_pydantic

    where = f"rules: [[{table_name}]] {number} ({rule.expectation})"
    for column in rule.columns:
        if column not in table:
            raise DataError(
                f"{where}: no column {column!r:.100}; the columns are: {', '.join(table.columns)}"
            )
    first_row = dict(table.iloc[0]) if len(table) else dict.fromkeys(table.columns, 0)
    if fault := rule.fault_of_text(first_row):
        raise DataError(f"{where}: reason {rule.template!r}: {fault}")
    expectation_class = getattr(gxe, rule.expectation)
    try:
        words = rule_as_text(rule.expectation, rule.settings, translator("en"))
        own = f" ({rule.reason})" if rule.reason else ""
        settings = settings_for_library(rule.expectation, rule.settings)
        # The library writes the description into its pages as it is.
        description = _as_html(words + own)
        return expectation_class(**settings, description=description, meta={"rule": number})
    except gx_pydantic.ValidationError as error:
        fault_found = error.errors()[0]
        field_name = ".".join(str(part) for part in fault_found["loc"])
        raise DataError(f"{where}: {field_name}: {fault_found['msg']}") from error


def _raise_if_not_checked(name: str, number: int, rule: Rule, outcome: Mapping[str, Any]) -> None:
    """Raise if a rule could not be checked: it must not count as kept or broken."""
    info = outcome["exception_info"]
    inner = [info] if "raised_exception" in info else list(info.values())
    for each in inner:
        if each.get("raised_exception"):
            message = str(each.get("exception_message")).strip().splitlines()[0]
            raise DataError(f"rules: [[{name}]] {number} ({rule.expectation}): {message}")


def _summary_of(rule: Rule, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return an outcome without its lists of rows, which are in the reasons."""
    kept = {
        key: value
        for key, value in outcome["result"].items()
        if key.startswith(("element", "missing", "unexpected_count", "unexpected_percent"))
        or key == "observed_value"
    }
    return {
        "rule": rule.template,
        "own_text": rule.reason,
        "expectation": rule.expectation,
        "settings": rule.settings,
        "success": outcome["success"],
        "result": kept,
    }
