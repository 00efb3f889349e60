"""CSV files as spreadsheets and programs write them."""

import gzip
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import UserError
from tasks.tables.read_csv import CsvTable, read_csv

ROWS = [{"Temp": 150, "Druck": 1.5, "Y": 60.2}, {"Temp": 180, "Druck": 2.5, "Y": 72}]


def _read(folder: Path, content: str | bytes) -> CsvTable:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path)


def _rows(table: CsvTable) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.rows.to_dict("records")]


WRITINGS: dict[str, str | bytes] = {
    "plain": "Temp,Druck,Y\n150,1.5,60.2\n180,2.5,72\n",
    "semicolon and decimal comma": "Temp;Druck;Y\n150;1,5;60,2\n180;2,5;72\n",
    "semicolon and decimal point": "Temp;Druck;Y\n150;1.5;60.2\n180;2.5;72\n",
    "tab": "Temp\tDruck\tY\n150\t1.5\t60.2\n180\t2.5\t72\n",
    "bar": "Temp|Druck|Y\n150|1.5|60.2\n180|2.5|72\n",
    "spaces": "Temp  Druck Y \n 150   1.5   60.2\n 180   2.5   72 \n",
    "Excel's line": "sep=;\nTemp;Druck;Y\n150;1,5;60,2\n180;2,5;72\n",
    "Excel's line in quotes": '"sep=;"\r\nTemp;Druck;Y\r\n150;1,5;60,2\r\n180;2,5;72\r\n',
    "a comma in every decimal": "Temp;Druck;Y\n150,0;1,5;60,2\n180,0;2,5;72,0\n",
    "quoted decimal comma": 'Temp,Druck,Y\n150,"1,5","60,2"\n180,"2,5",72\n',
    "byte order mark": "\ufeffTemp,Druck,Y\n150,1.5,60.2\n180,2.5,72\n",
    "UTF-16": "Temp\tDruck\tY\n150\t1,5\t60,2\n180\t2,5\t72\n".encode("utf-16"),
    "gzip": gzip.compress(b"Temp,Druck,Y\n150,1.5,60.2\n180,2.5,72\n"),
    "old Macintosh": "Temp,Druck,Y\r150,1.5,60.2\r180,2.5,72\r",
    "spaces around names and fields": " Temp , Druck,Y \n 150 ,1.5 ,60.2\n180, 2.5,72 \n",
    "quotes": '"Temp","Druck","Y"\n"150","1.5","60.2"\n"180","2.5","72"\n',
    "a title": "Versuch 3\n\nTemp,Druck,Y\n150,1.5,60.2\n180,2.5,72\n",
    "remarks": "# made by hand\nTemp,Druck,Y\n# first day\n150,1.5,60.2\n180,2.5,72\n",
    "numpy's header": "# Temp,Druck,Y\n150,1.5,60.2\n180,2.5,72\n",
    "a header that begins with a hash": "#Temp,Druck,Y\n150,1.5,60.2\n180,2.5,72\n",
    "a footnote": "Temp,Druck,Y\n150,1.5,60.2\n180,2.5,72\nY in per cent; measured twice\n",
    "blank rows": "Temp,Druck,Y\n\n150,1.5,60.2\n,,\n180,2.5,72\n,,\n\n",
    "empty columns": "Temp,Druck,Y,,\n150,1.5,60.2,,\n180,2.5,72,,\n",
    "separators at the ends of rows": "Temp,Druck,Y\n150,1.5,60.2,\n180,2.5,72,\n",
    "pandas' index": ",Temp,Druck,Y\n0,150,1.5,60.2\n1,180,2.5,72\n",
    "R's row names": '"Temp","Druck","Y"\n"1",150,1.5,60.2\n"2",180,2.5,72\n',
    "units below the names": "Temp,Druck,Y\n(°C),[bar],%\n150,1.5,60.2\n180,2.5,72\n",
    "units behind the numbers": "Temp,Druck,Y\n150 °C,1.5 bar,60.2%\n180 °C,2.5 bar,72%\n",
    "units and decimal comma": "Temp;Druck;Y\n150 °C;1,5 bar;60,2 %\n180 °C;2,5 bar;72 %\n",
    "Design-Expert's letters": "A:Temp,B:Druck,Y\n150,1.5,60.2\n180,2.5,72\n",
    "minus signs and exponents": "Temp,Druck,Y\n1.5e2,15E-1,60.2\n1.8E+02,+2.5,72.0\n",
}


@pytest.mark.parametrize("writing", WRITINGS)
def test_the_same_table_is_read_from_every_way_of_writing_it(writing: str, tmp_path: Path) -> None:
    assert _rows(_read(tmp_path, WRITINGS[writing])) == ROWS


@pytest.mark.parametrize(
    ("text", "separator", "value"),
    [
        ("0,125", ";", 0.125),
        ("0,125", ",", 0.125),
        ("1,250", ";", 1.25),
        ("1,250", ",", 1250),
        ("1,250,000", ";", 1_250_000),
        ("1.250.000", ",", 1_250_000),
        ("1,250.5", ",", 1250.5),
        ("1.250,5", ";", 1250.5),
        ("1 250", ",", 1250),
        ("1\u00a0250,5", ";", 1250.5),
        ("1'250.5", ",", 1250.5),
        ("1.250", ",", 1.25),
        ("1.250", ";", 1.25),
        ("\u22123", ",", -3),
        (".5", ",", 0.5),
        ("-inf", ",", float("-inf")),
        ("12345678901234567890", ",", 12345678901234567890),
    ],
)
def test_a_number_has_one_value(text: str, separator: str, value: float, tmp_path: Path) -> None:
    content = f'x{separator}y\n"{text}"{separator}a\n'
    assert _rows(_read(tmp_path, content)) == [{"x": value, "y": "a"}]


def test_a_point_separates_thousands_where_the_decimal_sign_is_a_comma(tmp_path: Path) -> None:
    table = _read(tmp_path, "n;y\n1.000;60,2\n2.000;72,5\n")
    assert table.rows["n"].tolist() == [1000, 2000]
    assert table.numbers.guesses == {"n": ("1.000", 1000)}


def test_a_number_that_can_be_read_in_two_ways_is_named_with_its_value(tmp_path: Path) -> None:
    assert _read(tmp_path, 'n,y\n"1,000",60\n"2,000",72\n').numbers.guesses == {
        "n": ("1,000", 1000)
    }
    assert _read(tmp_path, "n,y\n1.125,60\n2.250,72\n").numbers.guesses == {}


def test_words_for_a_missing_value_stay_text_because_they_can_be_levels(tmp_path: Path) -> None:
    table = _read(tmp_path, "norm,y\nNone,0.5\nbatch,0.6\nNA,\nnan,0.7\n")
    assert table.rows["norm"].tolist() == ["None", "batch", "NA", "nan"]
    assert table.rows["y"].tolist() == [0.5, 0.6, None, 0.7]


def test_a_text_in_a_column_of_numbers_stays(tmp_path: Path) -> None:
    assert _read(tmp_path, "a;y\n1;0,5\n2;failed\n3;0,75\n").rows["y"].tolist() == [
        0.5,
        "failed",
        0.75,
    ]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("조건;수율\n높음;60\n낮음;72\n", "cp949"),
        ("Größe;Y\nüber;60\nunter;72\n", "cp1252"),
        ("Temp °C;m²\n5;60\n6;72\n", "cp1252"),
        ("Température;Y\nélevée;60\nbasse;72\n", "cp1252"),
        ("температура;Y\nвысокая;60\nнизкая;72\n", "cp1251"),  # noqa: RUF001 # Cyrillic
        ("温度;収率\n高い;60\n低い;72\n", "cp932"),
        ("温度;产率\n高;60\n低;72\n", "gbk"),
    ],
)
def test_another_encoding_is_found_and_named(text: str, encoding: str, tmp_path: Path) -> None:
    table = _read(tmp_path, text.encode(encoding))
    assert list(table.rows) == text.splitlines()[0].split(";")
    assert table.encoding == encoding


def test_a_column_can_be_called_by_a_hash(tmp_path: Path) -> None:
    assert list(_read(tmp_path, "#,a,y\n1,2,3\n2,3,4\n").rows) == ["#", "a", "y"]


def test_a_list_of_cells_may_have_one_column(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("rate\n0.1\n0.01\n")
    assert read_csv(tmp_path / "list.csv", columns=1).rows["rate"].tolist() == [0.1, 0.01]


def test_names_of_columns_are_composed_characters(tmp_path: Path) -> None:
    assert list(_read(tmp_path, "o\u0308l,y\n1,2\n").rows) == ["öl", "y"]


def test_how_a_file_was_read_is_returned(tmp_path: Path) -> None:
    content = "Plan 7\n;A:Temp;B:Zeit;Y\n1;150 C;10;60,5\n2;180 C;10;72\n3;150 C;20\n"
    table = _read(tmp_path, content)
    assert (table.separator, table.encoding) == (";", "")
    assert table.numbers.decimal == {"Y": ","}
    assert table.numbers.units == {"Temp": "C"}
    assert table.remarks == ("Plan 7",)
    assert table.renamed == {"A:Temp": "Temp", "B:Zeit": "Zeit"}
    assert table.left_out == ("column 1",)
    assert table.short == (3,)


FAULTS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "a row that is longer than the header": (
        "A,B,Y\n-1,-1,60,5.1\n1,-1,72,5.2\n",
        ("line 2", "4 fields", "the header has 3"),
    ),
    "one long row": ("A,B,Y\n-1,-1,60\n1,-1,72,5\n", ("line 3", "4 fields")),
    "decimal commas without quotes": ("A,Y\n1,60,5\n2,72,5\n", ("line 2", "3 fields", "quotes")),
    "a name twice": ("a,y,a\n1,2,3\n", ("'a' occurs twice", "columns 1 and 3", "rename")),
    "names that differ in spaces": ("a,a ,y\n1,2,3\n", ("'a' occurs twice",)),
    "no header": ("1,2,3\n4,5,6\n", ("numbers instead of the names", "write a header")),
    "a column without a name": ("a,,y\n1,5,3\n2,7,4\n", ("column 2", "no name", "name it")),
    "one column": ("a b\n1\n", ("one column, 'a b'", "a semicolon or a tab")),
    "no rows": ("a,b\n", ("no rows", "one row per run")),
    "nothing": ("", ("empty", "write a header")),
    "an open quote": ('a,b\n"1,2\n3,4\n', ("quote", "not closed")),
    "an Excel workbook": (b"PK\x03\x04\x14\x00", ("an Excel workbook, not CSV", "save the sheet")),
    "bytes": (bytes(range(256)), ("not text", "UTF-8")),
    "zeros": (b"a,b\n1,\0\n", ("not text",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_a_table_is_refused_with_its_place(
    fault: str, tmp_path: Path
) -> None:
    content, texts = FAULTS[fault]
    with pytest.raises(UserError) as error:
        _read(tmp_path, content)
    assert "table.csv" in str(error.value)
    assert "\n" not in str(error.value)
    for text in texts:
        assert text in str(error.value)


LEVEL = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 5)),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(LEVEL, LEVEL, st.sampled_from(["adam", "x y", "a;b", "v 1,5"])), min_size=2
    ),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
)
def test_what_pandas_writes_is_read_back(
    rows: list[tuple[float, float, str]], separator: str, decimal: str, tmp_path: Path
) -> None:
    table = pd.DataFrame(rows, columns=["a", "b", "text"])
    written = io.StringIO()
    table.to_csv(written, sep=separator, decimal=decimal, index=False)
    found = _read(tmp_path, written.getvalue()).rows
    for name in ("a", "b"):
        guesses = _read(tmp_path, written.getvalue()).numbers.guesses
        if name not in guesses:
            assert found[name].astype(float).tolist() == pytest.approx(table[name].tolist())
    assert found["text"].tolist() == table["text"].tolist()
