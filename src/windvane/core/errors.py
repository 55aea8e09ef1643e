"""What went wrong, in one line that a user can act on.

`UserError` is raised for everything a user can mend (a file, a row, a setting, a model); the command line prints its text
after `windvane: ` and exits with code 2. Programming mistakes stay `assert`s and ordinary exceptions.
"""


class UserError(ValueError):
    """One clear line naming the file, row, field and mend."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
