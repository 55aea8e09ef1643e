"""The colours that drawings share: variables that follow a report's page, the colours of series, and the scale of heat maps.

`PAGE` is for drawings that stand in a report and alone: there they take the page's colours, alone their own, light or dark. `SERIES` is for
files that stand alone. The heat scale runs from orange through grey to blue, which colour-blind readers tell apart.
"""

from __future__ import annotations

PAGE = """svg{--i:var(--ink,#1b1f24);--s:var(--soft,#59636e);--l:var(--line,#dcdfe3);--c:var(--card,#fff);--a:var(--true,#0a62b0);
--b:var(--proxy,#b04d06);font:13px system-ui,sans-serif}.ground{fill:var(--c)}
@media(prefers-color-scheme:dark){svg{--i:var(--ink,#e8eaed);--s:var(--soft,#a2abb5);--l:var(--line,#333a42);--c:var(--card,#181c21);
--a:var(--true,#62b0f5);--b:var(--proxy,#f0994f)}}
"""
SERIES = """svg{background:#fff;font:13px system-ui,sans-serif}text{fill:#222}.grid{stroke:#ddd}.axis,.mark{stroke:#888}
.s0{stroke:#0b6bcb;fill:#0b6bcb}.s1{stroke:#c2410c;fill:#c2410c}text.s0,text.s1{stroke:none}
@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ddd}.grid{stroke:#333}.axis,.mark{stroke:#777}
.s0{stroke:#6cb2ff;fill:#6cb2ff}.s1{stroke:#ff9d66;fill:#ff9d66}}
"""
HEAT = "svg{font-size:12px}.s{fill:var(--s)}.i{fill:var(--i)}.none{fill:none;stroke:var(--l)}"
STOPS = ((0.0, (204, 102, 0)), (0.5, (222, 222, 222)), (1.0, (31, 107, 170)))


def colour(share: float) -> tuple[int, int, int]:
    """The colour of a share in [0, 1] on the heat scale."""
    (x0, a), (x1, b) = (STOPS[0], STOPS[1]) if share <= 0.5 else (STOPS[1], STOPS[2])
    t = (share - x0) / (x1 - x0)
    red, green, blue = (round(p + t * (q - p)) for p, q in zip(a, b))
    return red, green, blue


def ink(red: int, green: int, blue: int) -> str:
    """Black or white, whichever stands out more (WCAG contrast; at least 4.5 to 1 on every colour, since 0.179 is the balance)."""
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return "#fff" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.179 else "#000"
