"""The paths of the artifacts that are read back."""

SAMPLES = "data/samples.png"
PICTURES = "data/pictures.json"
VERSIONS = "data/versions.json"
#: What `tasks.search.suspects` logs when the best cells are known.
SUSPECTS = "suspects/suspects.csv"
CONTACT_SHEET = "suspects/contact_sheet.png"
RECORD = "registered.json"


def slug(name: str) -> str:
    """Return a name with nothing but letters, digits and ``-_.``."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
