"""What the world is for, and its two controls, in a self-play loop of plain transformers that shares only the loss with the recipes.

Three SPPO iterations at the demo's settings. With the noisy proxy the programme's win rate on held-out prompts rises each time and the
proxy's own rate ends above it; with a coin for a judge nothing is gained; a judge that sees only length is pleased, the programme is not.
"""

import itertools
import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from windvane.losses import sppo
from windvane.losses.batch import Batch
from windvane.toy.styles import family as styles
from windvane.toy.styles.replies import read

ETA, LR, PROMPTS, K, EPOCHS, PAIRS, ITERATIONS = 10.0, 5e-4, 256, 5, 2, 32, 3
HELD_OUT, EACH = 240, 2
SEED = 300

pytestmark = pytest.mark.slow


class Player:
    def __init__(self):
        folder = styles.model_folder()
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def render(self, prompt):
        return self.tokenizer.apply_chat_template([{"role": "user", "content": prompt.text}], tokenize=False)

    @torch.no_grad()
    def sample(self, prompts, each):
        """`each` replies a prompt: (rows of prompt + reply ids [n, T], mask of reply tokens [n, T-1], texts)."""
        asked = self.tokenizer(
            [self.render(p) for p in prompts for _ in range(each)], padding=True, return_tensors="pt"
        )
        rows = self.model.generate(**asked, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=40)
        start = asked["input_ids"].shape[1]
        mask = torch.zeros(rows[:, 1:].shape, dtype=torch.bool)
        mask[:, start - 1 :] = rows[:, start:] != self.tokenizer.pad_token_id
        return rows, mask, self.tokenizer.batch_decode(rows[:, start:], skip_special_tokens=True)

    def logps(self, rows, mask):
        """Summed log-probability of each reply [n]; the rows are padded with 0 on both sides."""
        real = rows != self.tokenizer.pad_token_id
        places = (real.cumsum(1) - 1).clamp(min=0)
        logits = self.model(input_ids=rows, attention_mask=real.long(), position_ids=places).logits[:, :-1]
        return (logits.log_softmax(-1).gather(-1, rows[:, 1:, None])[..., 0] * mask).sum(1)


def win_rate(judge, prompts, ours, theirs):
    told = [
        judge.probability(p.text, a, b)
        for i, p in enumerate(prompts)
        for a, b in itertools.product(ours[i * EACH : (i + 1) * EACH], theirs[i * EACH : (i + 1) * EACH])
    ]
    return sum(told) / len(told)


def improve(player, prompts, judge, rng):
    rows, mask, texts = player.sample(prompts, K)
    with torch.no_grad():
        reference = player.logps(rows, mask)
    pairs = []
    for i, prompt in enumerate(prompts):
        said = texts[i * K : (i + 1) * K]
        wins = [
            sum(judge.probability(prompt.text, a, b) for k, b in enumerate(said) if k != j) / (K - 1)
            for j, a in enumerate(said)
        ]
        best, worst = max(range(K), key=wins.__getitem__), min(range(K), key=wins.__getitem__)
        if wins[best] > wins[worst]:
            pairs.append((i * K + best, i * K + worst, wins[best], wins[worst]))
    optimizer = torch.optim.AdamW(player.model.parameters(), lr=LR, weight_decay=0.0)
    for _ in range(EPOCHS):
        rng.shuffle(pairs)
        for start in range(0, len(pairs), PAIRS):
            batch = pairs[start : start + PAIRS]
            which = torch.tensor([p[:2] for p in batch])
            logps = player.logps(rows[which.flatten()], mask[which.flatten()]).view(-1, 2)
            p_win, here = torch.tensor([p[2:] for p in batch]), torch.ones_like(which, dtype=torch.bool)
            lengths = mask.sum(1)[which]
            loss = sppo.loss(Batch(logps, reference[which], p_win, lengths, here), eta=ETA).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(player.model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()


def play(name):
    """Per iteration, the start included: win rates against the start by the programme, the clean proxy and `name`; malformed share."""
    rng, player, figures = random.Random(SEED), Player(), []
    held_out = styles.prompts(HELD_OUT, "held-out", SEED)
    training = styles.prompts(PROMPTS * ITERATIONS, "train", SEED)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        start = player.sample(held_out, EACH)[2]
        for t in range(ITERATIONS + 1):
            if t:
                improve(player, training[(t - 1) * PROMPTS : t * PROMPTS], styles.judge(name), rng)
            now = player.sample(held_out, EACH)[2]
            rates = [win_rate(styles.judge(j), held_out, now, start) for j in ("programme", "proxy-clean", name)]
            malformed = sum(not read(held_out[i // EACH].text, text).well_formed for i, text in enumerate(now)) / len(
                now
            )
            figures.append((*rates, malformed))
            print(name, t, *(f"{x:.3f}" for x in figures[-1]))
    return figures


def test_the_proxy_teaches_what_the_programme_likes():
    figures = play("proxy")
    true, proxy = [f[0] for f in figures], [f[1] for f in figures]
    assert true == sorted(true) and true[1] > 0.56 and 0.66 < true[-1] < 0.78
    assert proxy == sorted(proxy) and proxy[-1] > true[-1] + 0.04
    assert max(f[3] for f in figures) < 0.1


def test_control_a_coin_teaches_nothing():
    true = [f[0] for f in play("coin")]
    assert max(true[1:]) < 0.55


def test_control_length_pleases_its_judge_alone():
    figures = play("length")
    assert figures[-1][2] > 0.60
    assert max(f[0] for f in figures[1:]) < 0.52
