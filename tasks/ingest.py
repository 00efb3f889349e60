"""Finding pictures: folders and zips, in the layouts that Dogs vs Cats comes in.

Nothing is unpacked but an archive inside an archive. What is found is either a picture (an
`Entry`, which validation accepts or quarantines) or passed over with a reason: nothing is dropped.
"""

import functools
import hashlib
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import cv2

from models import drawn
from tasks.cycles import only_new_ones_collected
from tasks.errors import DataError, UnreadableError
from tasks.objects import Copies, OnProgress, Store, address_of

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif")
#: Kaggle's flat names: cat.0.jpg.
FLAT = re.compile(r"^([^\W\d][^.]*)\.\d+\.\w+$")
#: Kaggle's pictures to be predicted, which have numbers and no class: test1/17.jpg.
UNLABELLED = re.compile(r"^test\d*/(?:.*/)?\d+\.\w+$")
#: What systems leave beside pictures, by name of the file or of a folder above it.
SYSTEM = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
#: Bytes of one picture, unpacked.
MAX_MEMBER = 256 * 2**20
#: Deflate packs photographs hardly at all; what unpacks to so many times its size is a bomb.
MAX_RATIO, RATIO_FROM = 200, 2**20
#: Bytes of an archive inside an archive, unpacked.
MAX_INNER = 256 * 2**30
#: What zipfile raises where bytes are no zip, or one that it cannot read.
BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
)
#: Where so large a share of the names is like cat.0.jpg, the names are the labels.
NAMES_RULE = 0.5


class Entry(NamedTuple):
    """A picture that was found.

    Attributes
    ----------
    path : its name below the source, with slashes; what reports and exclusion lists call it.
    label : its class; None where nothing says which.
    stamp : changes when its content does, as far as that is known without reading it.
    where : what its reader needs: a path, or a member's number.
    fault : why it must not be read; empty where it may.
    """

    path: str
    label: str | None
    stamp: str
    where: str
    fault: str = ""


class Reader(Protocol):
    """Reads pictures; it is sent to other processes and opens what it needs there."""

    def read(self, entry: Entry) -> bytes:
        """Return a picture's bytes, or raise `UnreadableError`."""
        ...


@dataclass(frozen=True)
class Source:
    """Where pictures are.

    Attributes
    ----------
    words : for people: a path, or what was drawn.
    key : the same from pass to pass.
    entries : the pictures found.
    passed_over : file -> why it is none.
    """

    words: str
    key: str
    entries: list[Entry]
    passed_over: dict[str, str]
    reader: Reader


@dataclass
class FolderReader:
    """Reads files, and notices where one is no longer what was found."""

    root: str

    def read(self, entry: Entry) -> bytes:
        """Return a file's bytes."""
        try:
            data, now = _read_file(f"{self.root}/{entry.where}", int(entry.stamp.split("-")[0]))
        except FileNotFoundError as error:
            raise UnreadableError("vanished while the folder was read") from error
        except OSError as error:
            raise UnreadableError(f"cannot be read: {error.strerror}") from error
        if now != entry.stamp:
            raise UnreadableError("changed while the folder was read")
        return data


@dataclass
class CopyReader:
    """Reads the copies of a store's objects, each of which is of one version for ever."""

    copies: Copies | None
    root: str = ""

    def __post_init__(self) -> None:
        if self.copies is not None:
            self.root = str(self.copies.folder)

    def __getstate__(self) -> dict[str, Any]:
        # The process that found them keeps hold of them.
        return {"copies": None, "root": self.root}

    def read(self, entry: Entry) -> bytes:
        """Return an object's bytes."""
        try:
            return Path(self.root, entry.where).read_bytes()
        except OSError as error:
            raise UnreadableError(f"its copy cannot be read: {error.strerror}") from error


@dataclass
class ZipReader:
    """Reads members without unpacking the archive; each process opens it for itself."""

    path: str
    _archive: zipfile.ZipFile | None = field(default=None, repr=False)
    _members: list[zipfile.ZipInfo] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.path, self._archive, self._members = state["path"], None, []

    def read(self, entry: Entry) -> bytes:
        """Return a member's bytes; never more than it declares, and only if its CRC is right."""
        try:
            if self._archive is None:
                self._archive = zipfile.ZipFile(self.path)
                self._members = self._archive.infolist()
            member = self._members[int(entry.where)]
            if _member_stamp(member) != entry.stamp:
                raise UnreadableError("changed while the archive was read")
            return self._archive.read(member)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, IndexError) as error:
            raise UnreadableError(f"damaged in the archive: {error}") from error
        except (RuntimeError, NotImplementedError) as error:
            raise UnreadableError(f"packed in a way that cannot be read: {error}") from error


@dataclass
class DrawnReader:
    """Draws pictures as they are asked for."""

    size: int
    seed: int

    def read(self, entry: Entry) -> bytes:
        """Return a picture as PNG bytes, which lose nothing."""
        index = int(entry.where)
        image = drawn.draw_one(index % 2, self.size, drawn.generator(self.seed, index))
        _, data = cv2.imencode(".png", image[:, :, ::-1])
        return data.tobytes()


def draw_images(number: int, size: int, seed: int) -> Source:
    """Return so many drawn cats and dogs, which say that they are drawn."""
    code = hashlib.sha256(Path(drawn.__file__).read_bytes()).hexdigest()[:16]
    entries = [
        Entry(f"drawn/{label}.{index}.png", label, code, str(index))
        for index in range(number)
        for label in (drawn.CLASSES[index % 2],)
    ]
    words = f"drawn cats and dogs (seed {seed}; no photographs)"
    return Source(words, f"drawn-{size}-{seed}", entries, {}, DrawnReader(size, seed))


def key_of(path: Path) -> str:
    """Return what a source is called from pass to pass: its own place, or its address."""
    return address_of(path) or str(path.resolve())


@only_new_ones_collected()
def find_images(path: Path, scratch: Path, progress: OnProgress | None = None) -> Source:
    """Find the pictures of a folder or zip.

    Parameters
    ----------
    path : a folder, a zip, or a zip with ``train.zip`` inside; one in an object store by URL.
    scratch : where an archive inside an archive is unpacked to, and what is in a store is copied
        to, once.
    progress : told what is done, how much, of how many.

    Raises
    ------
    DataError
        If there is nothing, no zip, or no layout that says which picture is of which class.
    """
    url = address_of(path)
    if url is None:
        return _find(path, scratch)
    store = Store(url)
    if store.is_folder:
        return _find_in_store(store, scratch, progress)
    # Its key is the address, so that drift is measured from one version to the next.
    return replace(_find(store.archive(scratch), scratch), words=url, key=url)


def _find(path: Path, scratch: Path) -> Source:
    try:
        if path.is_dir():
            return _find_in_folder(path)
        if not path.exists():
            raise DataError(
                f"--data {path}: no such file or folder; name a folder or zip of pictures"
            )
        if not path.is_file():  # a pipe would be waited for without end
            raise DataError(
                f"--data {path}: neither a file nor a folder; name a folder or zip of pictures"
            )
        return _find_in_zip(path, _innermost(path, scratch))
    except BAD_ZIP as error:
        raise DataError(
            f"--data {path}: not a zip, or a damaged one ({error}); name a folder or a whole zip "
            "of pictures"
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DataError(
            f"--data {path}: {error.strerror or error}{where}; mend this, then run it again"
        ) from error


# -- folders ------------------------------------------------------------------------------------


def _find_in_folder(root: Path) -> Source:
    found, passed = [], {}
    for where, about in sorted(_walk(str(root))):
        name = _readable(where)
        reason = _not_a_picture(name)
        if not stat.S_ISREG(about.st_mode):
            reason = reason or "neither a file nor a folder"
        if reason:
            passed[name] = reason
            continue
        fault = _too_large(about.st_size) if about.st_size > MAX_MEMBER else ""
        found.append(Entry(name, None, _file_stamp(about), where, fault))
    entries = _labelled(found, passed, f"--data {root}")
    return Source(str(root), key_of(root), entries, passed, FolderReader(str(root)))


def _find_in_store(store: Store, scratch: Path, progress: OnProgress | None) -> Source:
    """Find a folder's pictures, and have copies of them here; of what is none, none is made."""
    found, passed, wanted = [], {}, {}
    for item in store.objects():
        name = _readable(item.name)
        reason = _not_a_picture(name) or ("" if item.is_file else "neither a file nor a folder")
        if reason:
            passed[name] = reason
            continue
        fault = "its path leaves the folder" if _leaves(item.name) else ""
        fault = fault or (_too_large(item.size) if item.size > MAX_MEMBER else "")
        found.append(Entry(name, None, item.copy, item.copy, fault))
        if not fault:
            wanted[name] = item
    entries = _labelled(found, passed, f"--data {store.url}")
    copies = store.copies([wanted[e.path] for e in entries if not e.fault], scratch, progress)
    lost = {name for name, item in wanted.items() if item.name in copies.lost}
    kept = [e._replace(fault="the store lists it only") if e.path in lost else e for e in entries]
    return Source(store.url, store.url, kept, passed, CopyReader(copies))


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file below a folder; links are followed, in circles once."""
    top = Path(root).stat()
    folders, seen = [""], {(top.st_dev, top.st_ino)}
    while folders:
        folder = folders.pop()
        with os.scandir(Path(root, folder)) as files:
            for file in files:
                where = f"{folder}/{file.name}" if folder else file.name
                try:
                    about = file.stat()
                except OSError:
                    yield where, file.stat(follow_symlinks=False)  # a link to nothing
                    continue
                if not stat.S_ISDIR(about.st_mode):
                    yield where, about
                elif (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    folders.append(where)


def _read_file(path: str, size: int) -> tuple[bytes, str]:
    """Return a file's bytes, of which there should be so many, and its stamp once they are read."""
    file = os.open(path, os.O_RDONLY)  # a file object takes as long as the reading
    try:
        data = os.read(file, size + 1)
        while len(data) < size and (more := os.read(file, size - len(data))):
            data += more
        return data, _file_stamp(os.fstat(file))
    finally:
        os.close(file)


def _file_stamp(about: os.stat_result) -> str:
    return f"{about.st_size}-{about.st_mtime_ns}"


def _readable(name: str) -> str:
    """Return a name that can be printed and stored, whatever its bytes are."""
    if name.isascii():
        return name
    return re.sub("[\ud800-\udfff]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


# -- zips ---------------------------------------------------------------------------------------


def _find_in_zip(path: Path, archive: Path) -> Source:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    found, passed = [], {}
    names: Counter[str] = Counter()
    for number, member in enumerate(members):
        if member.is_dir():
            continue
        name = _readable(member.filename)
        names[name] += 1
        again = f" (again, {names[name]})" if names[name] > 1 else ""
        reason = _not_a_picture(name)
        if reason:
            passed[name + again] = reason
            continue
        fault = _fault(member) or ("a second member of this name" if again else "")
        found.append(Entry(name + again, None, _member_stamp(member), str(number), fault))
    _refuse_bomb(path, archive, sum(members[int(e.where)].file_size for e in found if not e.fault))
    entries = _labelled(found, passed, f"--data {path}")
    return Source(str(path), key_of(path), entries, passed, ZipReader(str(archive)))


def _refuse_bomb(path: Path, archive: Path, unpacked: int) -> None:
    """Refuse an archive whose members, each harmless alone, add up: they may share their bytes."""
    packed = archive.stat().st_size
    if unpacked > MAX_RATIO * max(packed, RATIO_FROM):
        raise DataError(
            f"--data {path}: a decompression bomb: {packed:,} bytes that would unpack to "
            f"{unpacked:,}; name another archive"
        )


def _member_stamp(member: zipfile.ZipInfo) -> str:
    return f"{member.CRC:08x}-{member.file_size}"


def _fault(member: zipfile.ZipInfo) -> str:
    """Return why a member must not be read; empty where it may."""
    if _leaves(member.filename):
        return "its path leaves the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, not a picture"
    if member.flag_bits & 0x1:
        return "encrypted"
    if member.file_size > MAX_MEMBER:
        return _too_large(member.file_size)
    if member.file_size > max(RATIO_FROM, MAX_RATIO * member.compress_size):
        return (
            f"a decompression bomb: {member.compress_size:,} bytes that would unpack to "
            f"{member.file_size:,}"
        )
    return ""


def _leaves(name: str) -> bool:
    """Whether a name leads out of where it is."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or parts[:1] == ("/",) or re.match(r"^[A-Za-z]:", name) is not None


def _too_large(size: int) -> str:
    return f"too large: {size:,} bytes; at most {MAX_MEMBER:,} are read"


def _innermost(path: Path, scratch: Path) -> Path:
    """Return the archive that has the pictures: itself, or the one inside Kaggle's outer zip."""
    with zipfile.ZipFile(path) as outer:
        members = [m for m in outer.infolist() if not m.is_dir()]
        inner = [m for m in members if PurePosixPath(m.filename).name.lower() == "train.zip"]
        if not inner and not any(_has_picture_ending(m.filename) for m in members):
            inner = [m for m in members if m.filename.lower().endswith(".zip")][:2]
        if len(inner) != 1:
            return path
        return _unpack(path, outer, inner[0], scratch)


def _unpack(path: Path, outer: zipfile.ZipFile, member: zipfile.ZipInfo, scratch: Path) -> Path:
    """Unpack an inner archive to disk, once, in pieces: whole or not at all."""
    fault = "" if member.file_size <= MAX_INNER else "too large to unpack"
    if member.file_size > max(RATIO_FROM, MAX_RATIO * member.compress_size):
        fault = "a decompression bomb"
    if member.flag_bits & 0x1:
        fault = "encrypted"
    if fault:
        raise DataError(f"--data {path}: {member.filename} inside it is {fault}")
    target = scratch / f"{_member_stamp(member)}.zip"
    if target.exists() and target.stat().st_size == member.file_size:
        return target
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".partial-") as folder:
        partial = Path(folder, target.name)
        with outer.open(member) as packed, partial.open("wb") as file:
            shutil.copyfileobj(packed, file, 2**20)
        partial.replace(target)
    return target


# -- names --------------------------------------------------------------------------------------


def _not_a_picture(name: str) -> str:
    """Return why a file is passed over; empty where it looks like a picture."""
    folder, _, file = name.replace("\\", "/").rpartition("/")
    if _is_hidden(folder) or _is_system(file):
        return "left by a system, or hidden"
    return "" if _has_picture_ending(file) else "not a picture, by its name"


@functools.lru_cache(4096)
def _is_hidden(folder: str) -> bool:
    return any(_is_system(part) for part in folder.split("/"))


def _is_system(part: str) -> bool:
    return part.lower() in SYSTEM or (part[:1] == "." and bool(part.strip(".")))


def _has_picture_ending(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _labelled(found: list[Entry], passed: dict[str, str], where: str) -> list[Entry]:
    """Give every picture its label: by its name where names are like cat.0.jpg, else its folder."""
    paths = [entry.path.replace("\\", "/") for entry in found]
    flat = [FLAT.match(path.rpartition("/")[2]) for path in paths]
    names = Counter(match[1].lower() for match in flat if match)
    by_name = len(names) > 1 and names.total() >= NAMES_RULE * len(paths)
    entries = []
    for entry, path, match in zip(found, paths, flat, strict=True):
        if by_name and not match and UNLABELLED.match(path):
            passed[entry.path] = "Kaggle's test picture, which has no class"
            continue
        own = match[1] if match else ""
        said = own if by_name else path.rpartition("/")[0].rpartition("/")[2]
        label = said.lower().strip(" .") or None
        entries.append(Entry(entry.path, label, entry.stamp, entry.where, entry.fault))
    _at_least_two(entries, len(passed), where)
    return entries


def _at_least_two(entries: list[Entry], passed: int, where: str) -> None:
    labels = sorted({entry.label for entry in entries if entry.label})
    if not entries:
        raise DataError(
            f"{where}: no pictures among its {passed} files; expected a folder a class (Cat/0.jpg) "
            f"or names like cat.0.jpg, ending in {', '.join(ENDINGS)}"
        )
    if len(labels) < 2:  # noqa: PLR2004 # two classes make a classification
        classes = f"one class, {labels[0]!r}" if labels else "no class that their names tell"
        raise DataError(
            f"{where}: all {len(entries)} pictures are of {classes}; expected a folder a class "
            "(Cat/0.jpg) or names like cat.0.jpg, of two classes or more"
        )
