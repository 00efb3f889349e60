"""Names in a zip without a mark of their encoding."""

import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from support.picture_files import encode, picture

from tasks.data.find_images import check_source, find_images
from tasks.encodings import likely_encoding

NAMES = {
    "cp949": ["고양이 강아지", "사과 배 포도", "정상 불량", "개", "꽃 나무", "양성 음성", "남 여"],
    "cp932": ["猫 犬", "ネコ イヌ", "良品 不良品", "りんご みかん", "表示 能力", "ソース"],
    "gbk": ["猫 狗", "苹果 香蕉 梨", "合格 不合格", "正常 异常", "红 绿", "鸡 鸭"],
    "big5": ["貓 狗", "蘋果 香蕉", "正常 異常"],
    "cp866": ["кошки собаки", "Кошки Собаки", "брак норма", "КОШКИ СОБАКИ"],
    "cp1251": ["кошки собаки", "Кошки Собаки", "брак норма", "кот пес"],
    "cp437": ["café thé", "Äpfel Vögel", "niño niña", "gâteau crêpe"],
    "utf-8": ["고양이 강아지", "猫 犬", "кошки собаки", "café thé"],
}


@pytest.mark.parametrize(("encoding", "words"), [(e, w) for e, own in NAMES.items() for w in own])
def test_names_are_read_in_the_encoding_that_makes_them_words(encoding: str, words: str) -> None:
    names = words.split()
    raw = [name.encode(encoding) for name in names]
    assert [name.decode(likely_encoding(raw)) for name in raw] == names


class Member(zipfile.ZipInfo):
    """A member with the bytes of its name in an encoding, without a mark."""

    encoding = "cp949"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 # zipfile's name
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


def write(path: Path, names: list[str], extra: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for index, name in enumerate(names):
            member = Member(name)
            member.extra = extra
            archive.writestr(member, encode(picture(index)))
    return path


def test_the_classes_of_an_old_korean_zip_have_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "old.zip", ["고양이/1.jpg", "강아지/2.jpg"])
    check_source(path, tmp_path / "x")
    source = find_images(path, tmp_path / "x")
    assert [entry.label for entry in source.entries] == ["고양이", "강아지"]
    assert source.reader.read(source.entries[1]) == encode(picture(1))
    (note,) = source.notes
    assert note.details == {"encoding": "cp949", "example": "고양이/1.jpg"}


def test_a_byte_of_a_character_is_not_a_separator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "encoding", "cp932")  # its second byte of "ソ" is a backslash
    path = write(tmp_path / "old.zip", ["ソース/1.jpg", "ケチャップ/2.jpg"])
    assert [e.path for e in find_images(path, tmp_path / "x").entries] == [
        "ソース/1.jpg",
        "ケチャップ/2.jpg",
    ]


def test_a_name_in_info_zips_field_is_taken(tmp_path: Path) -> None:
    name = "고양이/1.jpg"
    field = b"\1" + struct.pack("<I", zlib.crc32(b"cat/x.jpg")) + name.encode()
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    path = write(tmp_path / "old.zip", ["cat/x.jpg", "dog/2.jpg"], extra)
    source = find_images(path, tmp_path / "x")
    assert [entry.path for entry in source.entries] == [name, "dog/2.jpg"]
    assert source.notes == ()
