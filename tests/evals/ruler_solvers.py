"""Short solvers of RULER's tasks: each reads the prompt alone, answer prefix included."""

import re
from collections import Counter


def solve(prompt: str) -> str:
    if "special magic key after" in prompt:
        return solve_chain(prompt)
    if "special magic" in prompt:
        asked = prompt.rsplit(" for ", 1)[1].split(" mentioned in")[0]  # the answer's beginning names the keys again
        keys = asked.replace(", and ", ", ").split(", ")
        needles = re.findall(r"One of the special magic \w+ for ([^:]+?) is: ([\w-]+)\.", prompt)
        return ", ".join(value for key, value in needles if key in keys)
    if "chain(s) of variable" in prompt:
        return solve_vt(prompt)
    if "numbered list of words" in prompt:
        words = re.findall(r"\d+\. (.+?)(?= \d+\. |\nQuestion)", prompt.split("Below is a numbered")[-1])
        return " ".join(word for word, _ in Counter(words).most_common(10))
    if "coded text" in prompt:
        words = prompt.split("coded words. ")[1].split("\nQuestion")[0].split()
        return " ".join(word for word, _ in Counter(w for w in words if w != "...").most_common(3))
    return solve_qa(prompt)


def solve_chain(prompt: str) -> str:
    after = dict(re.findall(r"The special magic key after ([^:]+?) is: ([^:.]+)\.", prompt))
    number = dict(re.findall(r"The special magic number of ([^:]+?) is: (\d+)\.", prompt))
    key = re.search(r"Start at the key (.+?) and follow", prompt).group(1)
    while key in after:
        key = after[key]
    return number[key]


def solve_vt(prompt: str) -> str:
    body = prompt.split("Memorize and track")[-1]  # past the worked example
    value = re.search(r"assigned the value (\d+) in the text above", body).group(1)
    names = re.findall(rf"VAR (\w+) = {value}\b", body)
    links = re.findall(r"VAR (\w+) = VAR (\w+)", body)
    for _ in links:
        names += [new for new, old in links if old in names and new not in names]
    return " ".join(names)


def solve_qa(prompt: str) -> str:
    """The invented stand-in's two kinds of question."""
    if born := re.search(r"In which town was (.+?) born\?", prompt):
        return re.search(rf"{born.group(1)} was born in the town of (\w+)", prompt).group(1)
    name = re.search(r"firm founded where (.+?) was employed", prompt).group(1)
    firm = re.search(rf"{name} was employed at (\w+ Works)", prompt).group(1)
    return re.search(rf"{firm} is a firm in .*?founded in (\d+)", prompt).group(1)
