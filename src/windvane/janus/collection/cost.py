"""What the collection is going to take, told before the first call: calls, tokens and money, stage by stage.

In: settings, instructions, the taxonomy. Out: estimates. A prompt is counted at four bytes a token, an
answer at its longest; what is not written yet (values, system messages) is taken from the taxonomy and at the middle of its allowed
length. At most 400 instructions are looked at, spread over all of them. Asking again after a reply that cannot be read is not in it: the
last line says how much that can add.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from windvane.engines.http.budget import Estimate, ExpectedCall, Usage, estimate
from windvane.janus.collection.instructions import Instruction
from windvane.janus.collection.settings import Janus
from windvane.janus.taxonomy import Taxonomy
from windvane.janus.value_prompts import answer_prompt, system_messages, value_messages

LOOKED_AT = 200
WORD = "reading "  # eight letters: a token or two, as words of a system message are


def expected(s: Janus, instructions: Sequence[Instruction], taxonomy: Taxonomy) -> dict[str, Estimate]:
    """Stage -> estimate, for all instructions and sets."""
    step = max(1, len(instructions) // LOOKED_AT)
    seen = instructions[::step]
    calls: dict[str, list[ExpectedCall]] = {"values": [], "systems": [], "answers": []}
    system = WORD * ((s.least_words + s.most_words) // 2)
    for i in seen:
        if s.values == "written":
            for d in taxonomy.dimensions:
                shown = taxonomy.examples(d.name, s.examples, s.seed, i.id)
                chat = value_messages(i.text, d.name, d.description, shown, s.sets)
                calls["values"].append(ExpectedCall(chat, s.value_tokens))
        for values in taxonomy.draw(s.sets, s.seed, i.id):
            chat = system_messages(i.text, values, s.least_words, s.most_words)
            calls["systems"].append(ExpectedCall(chat, s.system_tokens))
            calls["answers"].append(ExpectedCall(answer_prompt(system, i.text).messages, s.answer_tokens))
    return {stage: _scaled(estimate(s.server, c), len(instructions) / len(seen)) for stage, c in calls.items() if c}


def _scaled(found: Estimate, factor: float) -> Estimate:
    u = found.likely
    likely = Usage(round(u.prompt_tokens * factor), round(u.completion_tokens * factor), u.cost * factor)
    return Estimate(round(found.calls * factor), likely)


def tell_expected(s: Janus, found: Mapping[str, Estimate]) -> None:
    """A line a stage that is not finished, then all together, on standard error."""
    if not found:
        return
    total = Estimate(0, Usage())
    for stage, one in found.items():
        total = Estimate(total.calls + one.calls, total.likely + one.likely)
        print(f"windvane: the writer, {stage}: {one.told(s.server)}", file=sys.stderr)
    more = f"; {s.attempts} times that if every reply had to be asked for {s.attempts} times" if s.attempts > 1 else ""
    print(f"windvane: the writer {s.writer}, in all: {total.told(s.server)}{more}", file=sys.stderr)
