"""Pictures: where they are found, how they are measured and checked, and how they are cached."""
