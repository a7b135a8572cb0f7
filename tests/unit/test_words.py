"""Keep words that the project avoids out of code and docs; docs/glossary.md defines the terms to use."""

import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = re.compile(r"\.(py|md|cfg|toml|ya?ml|conf|service|timer|example|js|html)$")
LEFT_OUT = {"CHANGELOG.md", str(Path(__file__).relative_to(ROOT))}
HABITS = {
    "letter": r"letters?",
    "room": r"rooms|(?:the|its|a) room",
    "face": r"(?:its|the|a) face|faces",
    "wall": r"walls?(?! clock)",
    "door": r"doors?",
    "house": r"houses?",
    "hand": r"in hand|in an? \w+'s hand|hands of",
    # In quotation marks, it is the name of a Unix account.
    "nobody": r"(?<!\")nobody|somebody|whoever",
    "a person": r"a person",
    "on record": r"on record",
    "told": r"what was told|was told of|is told of|hear of",
}
"""Each kind of word to avoid, with a pattern that finds it."""
BEFORE_LETTER = re.compile(r"(dead|capital|case)[\s_#*-]*$", re.IGNORECASE)
"""Words before an allowed "letter": dead letters, also across two lines, and letters of the alphabet."""
ALLOWED = {"docs": 1, "tests": 7}
"""The number of words to avoid that are left in each folder; lower it when you rewrite one."""


def places(text):
    """Yield (habit, line number) for each use of a word that the project avoids."""
    for habit, pattern in HABITS.items():
        for match in re.finditer(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", text, re.IGNORECASE):
            before = text[max(0, match.start() - 20) : match.start()]
            if habit != "letter" or not BEFORE_LETTER.search(before):
                yield habit, text.count("\n", 0, match.start()) + 1


def files():
    names = subprocess.check_output(["git", "-C", ROOT, "ls-files"], text=True).splitlines()
    return [name for name in names if KINDS.search(name) and name not in LEFT_OUT]


def test_code_and_docs_use_the_words_of_the_glossary():
    found = [
        (name.split("/")[0], f"{name}:{line}: {habit}")
        for name in files()
        for habit, line in places((ROOT / name).read_text(encoding="utf-8"))
    ]
    counts = Counter(folder for folder, _ in found)
    excess = {folder for folder, count in counts.items() if count > ALLOWED.get(folder, 0)}
    assert [place for folder, place in found if folder in excess] == []
