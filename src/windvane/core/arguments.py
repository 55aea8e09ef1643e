"""argparse with this project's manners: a wrong argument is one line and exit code 2, not a usage page."""

from __future__ import annotations

import argparse
from typing import NoReturn

from windvane.core.errors import UserError


class Parser(argparse.ArgumentParser):
    """`error` raises a `UserError`; abbreviated flags are off, since a new flag would change what they mean."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")
