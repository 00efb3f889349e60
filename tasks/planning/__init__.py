"""What a study will do, and what it can find, before anything is trained."""
