"""What the pages show: the commands of bash blocks and whole commands in the running text, with the page that shows them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
BLOCK = re.compile(r"^```.*?^```", re.M | re.S)
INLINE = re.compile(r"`((?:windvane|python3?|torchrun|pytest|[A-Z_]+=\S+ pytest) [^`]+)`")
ALTERNATIVE = re.compile(r"# or .*?: (windvane .*)")  # `# or scores from elsewhere: windvane pair ...`


def page_of(name):
    """README, CONTRIBUTING, or a page of docs/ by its name there without the ending."""
    return ROOT / f"{name}.md" if name in ("README", "CONTRIBUTING") else ROOT / "docs" / f"{name}.md"


def names():
    return [p.relative_to(ROOT).as_posix().removeprefix("docs/").removesuffix(".md") for p in PAGES]


def blocks(text):
    """Lines of bash blocks without their comments; a trailing backslash joins two."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            alternative = ALTERNATIVE.search(line)
            code = re.sub(r"(^|\s)#.*", "", line).strip()  # a comment; `http://HOST:PORT/v1#MODEL` is none
            if code or alternative:
                yield " ".join(code.split()) or alternative[1].strip()


def inline(text):
    yield from (" ".join(found.split()) for found in INLINE.findall(" ".join(BLOCK.sub("", text).split("\n"))))


def commands(name):
    """Every command of the page. Left out are those in the running text that only name a verb ("`windvane run sppo`"), and those cut short
    by "...": their verbs and flags are looked at elsewhere."""
    text = page_of(name).read_text(encoding="utf-8")
    whole = [line for line in inline(text) if not bare(shlex.split(line))]
    return [line for line in [*blocks(text), *whole] if not {"...", "…"} & set(shlex.split(line))]


def bare(words):
    """Is it a verb alone?"""
    return words[0] == "windvane" and not any(word.startswith("-") or not word.islower() for word in words[1:])
