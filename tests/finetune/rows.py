"""Small files of one's own data, and a tiny model that sees them."""

import json

WORDS = (
    "rain",
    "a cat",
    "bread",
    "the sea",
    "snow",
    "a tree",
    "the sun",
    "a dog",
    "wind",
    "a house",
    "the moon",
    "a river",
)


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def turn(role, content):
    return {"role": role, "content": content}


def pairs(path, count=12):
    rows = [
        {
            "prompt": [turn("user", f"tell me about {w}")],
            "chosen": [turn("assistant", f"{w} is wet")],
            "rejected": [turn("assistant", f"no {w}")],
        }
        for w in WORDS[:count]
    ]
    return write(path, rows)


def chats(path, count=12):
    rows = [
        {
            "messages": [
                turn("user", f"hi {w}"),
                turn("assistant", f"hello {w}"),
                turn("user", "and?"),
                turn("assistant", w),
            ]
        }
        for w in WORDS[:count]
    ]
    return write(path, rows)
