"""Great Expectations: rules for each picture and for the whole set. Its only importer.

The rules are a file that people read and change, ``rules.toml`` beside this module, or a copy of it
that a study names.
"""

import logging
import re
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import DataError

#: What a page of Data Docs would fetch from elsewhere: it is read offline, and tells nobody.
REMOTE = re.compile(
    r"<script[^>]*\bsrc=\"https?://[^>]*>\s*</script>|<link[^>]*\bhref=\"https?://[^>]*>"
    r"|<img[^>]*\bsrc=\"https?://[^>]*>|url\('https?://[^)]*'\)",
    re.DOTALL,
)
#: What the pages look like without it.
PLAIN = (
    "<style>body{font:14px/1.5 sans-serif;margin:1.5em;max-width:75em}table{border-collapse:"
    "collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}"
    "ul{list-style:none;padding-left:0}svg,img,button,.modal,footer,.ge-index-page-tab-content{"
    "display:none}.fa-check-circle::before{content:'kept'}.fa-times::before{content:'broken'}"
    "</style></head>"
)


class Rule(BaseModel):
    """One expectation: its name at Great Expectations, its settings, and the reason in words."""

    model_config = ConfigDict(extra="allow", frozen=True)
    expectation: Annotated[str, Field(pattern=r"^Expect\w+$")]
    reason: Annotated[str, Field(min_length=1)]

    @property
    def settings(self) -> dict[str, Any]:
        """The expectation's own settings."""
        return dict(self.model_extra or {})

    def words(self, row: Mapping[str, Any]) -> str:
        """Return the reason for a row that breaks the rule."""
        return self.reason.format_map({**row, **self.settings})


class Rules(BaseModel):
    """A file of rules: ``[[pictures]]`` and ``[[set]]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pictures: tuple[Rule, ...] = ()
    set: tuple[Rule, ...] = ()


def read_rules(path: Path | None = None) -> Rules:
    """Read a file of rules; FactorGrid's own without a path.

    Raises
    ------
    DataError
        If it cannot be read, or is no file of rules.
    """
    where = path or Path(str(resources.files("tasks.data") / "rules.toml"))
    try:
        return Rules.model_validate(tomllib.loads(where.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"rules {where}: cannot be read as TOML: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in fault["loc"])
        raise DataError(
            f"rules {where}: {place}: {fault['msg']}; a rule has `expectation`, `reason` and the "
            "expectation's settings, under [[pictures]] or [[set]]"
        ) from error


def load_great_expectations() -> None:
    """Import it, which takes a second or two, before it is needed."""
    import great_expectations.expectations  # noqa: F401 # for whoever comes later


@dataclass(frozen=True)
class Validation:
    """What the rules said.

    Attributes
    ----------
    reasons : file -> why it is in quarantine.
    faults : what stops the study, in words; empty where nothing does.
    result : Great Expectations' own results, plain JSON types.
    write_docs : writes Data Docs into a folder, pages that fetch nothing from elsewhere.
    """

    reasons: dict[str, list[str]]
    faults: tuple[str, ...]
    result: dict[str, Any] = field(repr=False)
    write_docs: Callable[[Path], None] = field(repr=False)


class Validator:
    """Carries rules out, and keeps what was found for Data Docs.

    Parameters
    ----------
    rules : what to check.
    """

    def __init__(self, rules: Rules) -> None:
        import great_expectations as gx

        self.rules = rules
        self.result: dict[str, Any] = {}
        # It sets its own level as it is imported, and tells of every temporary folder.
        logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
        # Ephemeral: its state is here, not in the user's folders.
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        self._data = self._context.data_sources.add_pandas("metadata")

    def write_docs(self, folder: Path) -> None:
        """Write Data Docs of what was checked."""
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
        self._context.add_data_docs_site(str(folder), site)
        self._context.build_data_docs(site_names=[str(folder)])
        for unused in ("fonts", "images"):
            shutil.rmtree(folder / "static" / unused, ignore_errors=True)
        for page in folder.rglob("*.html"):
            text = REMOTE.sub("", page.read_text(encoding="utf-8"))
            page.write_text(text.replace("</head>", PLAIN, 1), encoding="utf-8")

    def pictures(self, table: pd.DataFrame) -> dict[str, list[str]]:
        """Check a metadata table, a row a picture, and return file -> reasons.

        Raises
        ------
        DataError
            If a rule is none that Great Expectations knows, or asks for a column that is not there.
        """
        columns = table.drop(columns="thumb", errors="ignore")
        outcomes = self._run("pictures", self.rules.pictures, columns, ["path"])
        rows = columns.set_index("path", drop=False)
        reasons: dict[str, list[str]] = {}
        for rule, outcome in zip(self.rules.pictures, outcomes, strict=True):
            for found in outcome["result"].get("unexpected_index_list") or []:
                words = rule.words(dict(rows.loc[found["path"]]))
                reasons.setdefault(found["path"], []).append(words)
        return reasons

    def whole(self, summary: Mapping[str, float | None]) -> tuple[str, ...]:
        """Check the figures of the whole set, and return what is broken, in words.

        Raises
        ------
        DataError
            As `pictures` does.
        """
        table = pd.DataFrame({k: [float("nan") if v is None else v] for k, v in summary.items()})
        outcomes = self._run("set", self.rules.set, table, None)
        self.result["summary"] = dict(summary)
        pairs = zip(self.rules.set, outcomes, strict=True)
        return tuple(rule.words(summary) for rule, outcome in pairs if not outcome["success"])

    def _run(
        self, name: str, rules: Sequence[Rule], table: pd.DataFrame, index: list[str] | None
    ) -> list[dict[str, Any]]:
        """Run rules on a table, with complete results, in the rules' order."""
        import great_expectations as gx
        from great_expectations.core.run_identifier import RunIdentifier

        self.result[name] = []
        if not rules:
            return []
        suite = gx.ExpectationSuite(
            name=name,
            expectations=[_expectation(name, i, rule, table) for i, rule in enumerate(rules, 1)],
        )
        table = _needed(table, rules, index or [])
        batch = self._data.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=self._context.suites.add(suite))
        )
        form: dict[str, Any] = {"result_format": "COMPLETE"}
        if index:
            form["unexpected_index_column_names"] = index
        # Not by a checkpoint, which has nothing to add: no actions, no second definition.
        found = definition.run(
            batch_parameters={"dataframe": table},
            result_format=form,
            run_id=RunIdentifier(run_name="validation"),
        )
        outcomes = {o["expectation_config"]["meta"]["rule"]: o for o in _plain(found)}
        ordered = [outcomes[i] for i in range(1, len(rules) + 1)]
        for number, (rule, outcome) in enumerate(zip(rules, ordered, strict=True), 1):
            _raise_if_broken(name, number, rule, outcome)
        self.result[name] = [_brief(rule, o) for rule, o in zip(rules, ordered, strict=True)]
        return ordered


def _needed(table: pd.DataFrame, rules: Sequence[Rule], index: Sequence[str]) -> pd.DataFrame:
    """Return the columns that rules name: every cell of a table is digested, and copied often."""
    if any(rule.expectation.startswith("ExpectTable") for rule in rules):
        return table
    words = " ".join(str(rule.settings) for rule in rules)
    return table[[name for name in table.columns if name in index or name in words]]


def _plain(found: Any) -> list[dict[str, Any]]:
    return [outcome.to_json_dict() for outcome in found.results]


def _expectation(table_name: str, number: int, rule: Rule, table: pd.DataFrame) -> Any:
    import great_expectations.expectations as gxe
    from great_expectations.compatibility import pydantic as gx_pydantic

    where = f"rules: [[{table_name}]] {number} ({rule.expectation})"
    kind = getattr(gxe, rule.expectation, None)
    if kind is None:
        raise DataError(f"{where}: Great Expectations knows no expectation of this name")
    column = rule.settings.get("column")
    if column is not None and column not in table:
        raise DataError(f"{where}: no column {column!r}; there are: {', '.join(table.columns)}")
    try:
        rule.words(dict(table.iloc[0]) if len(table) else dict.fromkeys(table.columns, 0))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(
            f"{where}: reason {rule.reason!r}: {error}; name columns or the rule's settings in {{}}"
        ) from error
    try:
        return kind(**rule.settings, notes=rule.reason, meta={"rule": number})
    except gx_pydantic.ValidationError as error:
        fault = error.errors()[0]
        field_name = ".".join(str(part) for part in fault["loc"])
        raise DataError(f"{where}: {field_name}: {fault['msg']}") from error


def _raise_if_broken(name: str, number: int, rule: Rule, outcome: Mapping[str, Any]) -> None:
    """Raise where a rule could not be carried out: it must not count as kept or broken."""
    info = outcome["exception_info"]
    inner = [info] if "raised_exception" in info else list(info.values())
    for each in inner:
        if each.get("raised_exception"):
            message = str(each.get("exception_message")).strip().splitlines()[0]
            raise DataError(f"rules: [[{name}]] {number} ({rule.expectation}): {message}")


def _brief(rule: Rule, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return an outcome without its lists of every row, which the reasons have."""
    kept = {
        key: value
        for key, value in outcome["result"].items()
        if key.startswith(("element", "missing", "unexpected_count", "unexpected_percent"))
        or key == "observed_value"
    }
    return {
        "rule": rule.reason,
        "expectation": rule.expectation,
        "settings": rule.settings,
        "success": outcome["success"],
        "result": kept,
    }
