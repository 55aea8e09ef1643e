"""The toy world plugs in here: what each family offers, under its name.

`register()` is called at the start of the command line and of the public API. Nothing is imported by it but the table itself. A program
that uses other modules of Windvane directly, and `toy:` names, calls it first.
"""

from windvane.core import families
from windvane.core.families import Family

FAMILIES = (
    Family(
        "styles",
        model="windvane.toy.styles.family:model_folder",
        prompts="windvane.toy.styles.family:prompts",
        judge="windvane.toy.styles.family:judge",
        describe="windvane.toy.styles.family:describe",
    ),
    Family(
        "facts",
        model="windvane.toy.facts.family:model_folder",
        prompts="windvane.toy.facts.family:prompts",
        documents="windvane.toy.facts.family:documents",
        judge="windvane.toy.facts.family:judge",
        grounded="windvane.toy.facts.family:grounded",
        describe="windvane.toy.facts.family:describe",
    ),
    Family(
        "grades",
        model="windvane.toy.grades.family:model_folder",
        prompts="windvane.toy.grades.family:prompts",
        transcripts="windvane.toy.grades.family:transcripts",
        words="windvane.toy.grades.family:words",
        sentences="windvane.toy.grades.family:sentences",
        describe="windvane.toy.grades.family:describe",
    ),
    Family(
        "values",
        model="windvane.toy.values.family:model_folder",
        prompts="windvane.toy.values.family:prompts",
        steering="windvane.toy.values.steering:rows",
        judge="windvane.toy.values.family:judge",
        grader="windvane.toy.values.family:grader",
        writer="windvane.toy.values.writer:ValueWriter",
        describe="windvane.toy.values.family:describe",
    ),
)


def register() -> None:
    """Make the names `toy:FAMILY` known. Calling it again changes nothing."""
    families.register(*FAMILIES)
