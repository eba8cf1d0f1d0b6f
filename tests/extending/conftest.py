"""What the tests here add to a copy of the repository is collected there, not here."""

collect_ignore = ["added"]
