"""`windvane serve`: a service in the browser, on this machine unless told otherwise.

    windvane serve
    windvane serve --scorer scorer.json --data school
    windvane serve --model A --model http://127.0.0.1:8000/v1#B --writer http://127.0.0.1:8000/v1#B
    windvane serve --host 0.0.0.0 --tokens tokens.txt --certificate cert.pem --key key.pem

In: flags. Out: pages and a JSON API until Ctrl-C. What people do (votes, verdicts) is in the folder `--data`; transcripts that are scored
are not kept. Everything that can be wrong with the flags, the port included, is one line before the first page.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.serve.accounts import read_tokens
from windvane.serve.site import Site
from windvane.serve.vote_log import hold

NEEDED = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}


def main(argv: Sequence[str]) -> int:
    """Serve until interrupted."""
    options = _parser().parse_args(list(argv))
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise UserError(f"windvane serve needs {', '.join(missing)}: pip install 'windvane[serve]'")
    if bool(options.certificate) != bool(options.key):
        raise UserError("--certificate and --key go together; give both")
    for flag in ("certificate", "key"):
        path = getattr(options, flag)
        if path is not None and not path.is_file():
            raise UserError(f"--{flag} {path}: no such file")
    site = _site(options)
    with contextlib.closing(_listening(options.host, options.port)) as listening, hold(site.data):
        from windvane.serve.app import create_app

        _run(create_app(site), site, listening, options)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "windvane serve",
        description="Score speaking transcripts, validate records with two raters, put two models side by side, look at runs: in the "
        "browser and by a JSON API.",
    )
    add = parser.add_argument
    where = parser.add_argument_group("where, and for whom")
    where.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="this machine alone (127.0.0.1); elsewhere tokens are demanded",
    )
    where.add_argument("--port", type=int, default=8765, metavar="N", help="8765; 0 takes a free one")
    where.add_argument(
        "--tokens", type=Path, metavar="FILE", help="a line 'NAME TOKEN' a person; or set WINDVANE_TOKEN for one person"
    )
    where.add_argument("--certificate", type=Path, metavar="PEM", help="serve over TLS")
    where.add_argument("--key", type=Path, metavar="PEM", help="the certificate's private key")
    where.add_argument(
        "--rate", type=int, default=240, metavar="N", help="requests a minute and person; 0: no limit (240)"
    )
    where.add_argument("--body-bytes", type=int, default=1_000_000, metavar="N", help="the largest request (1000000)")
    where.add_argument(
        "--batch-bytes", type=int, default=20_000_000, metavar="N", help="the largest batch file (20000000)"
    )
    add(
        "--data",
        type=Path,
        default=Path("windvane-serve"),
        metavar="DIR",
        help="where votes and verdicts go (windvane-serve)",
    )
    rooms = parser.add_argument_group("what is served")
    rooms.add_argument(
        "--scorer", default="default", metavar="SCORER", help="of transcripts: default, or what windvane score takes"
    )
    rooms.add_argument(
        "--levels",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="words by CEFR level that the page marks; may be repeated",
    )
    rooms.add_argument(
        "--queue",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="transcripts that raters validate; may be repeated",
    )
    rooms.add_argument(
        "--model", action="append", default=[], metavar="MODEL", help="two of them talk side by side in the composer"
    )
    rooms.add_argument("--writer", metavar="BACKEND", help="writes system messages; without one a template does")
    rooms.add_argument("--taxonomy", type=Path, metavar="FILE", help="values of your own, JSON lines")
    rooms.add_argument(
        "--runs", type=Path, action="append", default=[], metavar="DIR", help="a run folder, or a folder of them"
    )
    talk = parser.add_argument_group("how models talk")
    talk.add_argument("--temperature", type=float, default=1.0, metavar="T", help="1; 0 is greedy")
    talk.add_argument(
        "--max-new-tokens", type=int, default=None, metavar="N", help="of an answer (512; 64 for the toy world)"
    )
    talk.add_argument("--device", default="auto", help="auto, cpu or cuda")
    talk.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="float32")
    return parser


def _site(options: Any) -> Site:
    models = tuple(options.model)
    toys = all(map(is_family, models))
    return Site(
        data=options.data,
        host=options.host,
        people=read_tokens(options.tokens, os.environ),
        secure=options.certificate is not None,
        rate=options.rate,
        body_bytes=options.body_bytes,
        batch_bytes=options.batch_bytes,
        scorer=options.scorer,
        levels=tuple(options.levels),
        models=models,
        writer=options.writer,
        taxonomy=options.taxonomy,
        temperature=options.temperature,
        max_new_tokens=(64 if toys else 512) if options.max_new_tokens is None else options.max_new_tokens,
        runs=tuple(options.runs),
        queue=tuple(options.queue),
        device=options.device,
        dtype=options.dtype,
    )


def _listening(host: str, port: int) -> socket.socket:
    """The socket, taken before anything heavy is loaded."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: a port is 0 to 65535")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(found[0], found[1])
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[4])
        listening.listen(2048)  # from here on the port is ours, and whoever comes early waits
        return listening
    except socket.gaierror as error:
        raise UserError(f"--host {host}: not an address of this machine ({error.strerror})") from None
    except OSError as error:
        raise UserError(
            f"--port {port}: cannot be taken on {host} ({error.strerror}); give another --port, or 0 for a free one"
        ) from None


def _run(app: Any, site: Site, listening: socket.socket, options: Any) -> None:
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    port = listening.getsockname()[1]
    host = f"[{site.host}]" if ":" in site.host else site.host
    kind = "https" if site.secure else "http"
    print(f"{kind}://{host}:{port}  (Ctrl-C stops it; what people do is kept in {site.data})", flush=True)
    if site.people and not site.secure and not site.loopback:
        print(
            "windvane: note: no --certificate: tokens and transcripts cross the network unencrypted; use TLS here or a proxy that has it",
            flush=True,
        )
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        log_config=None,  # uvicorn's own closes every logging handler of the process (absl's closes its stream with it)
        server_header=False,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,  # at the usual 5 s a busy client's next request meets a connection that is just being closed
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down and hands the signal on
        server.run(sockets=[listening])
