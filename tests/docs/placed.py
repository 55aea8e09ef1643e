"""How the pages' commands are run: what stands for their capitals and files, what makes them small, and what is not run, with the reason.

`PUT`: words of every page. `ON`: words of one page. `AT`: words of one command, named by its beginning. `SMALL`: flags put behind a verb's
own. `NEEDS`: commands, named by their beginning, that are not run here; a test holds that each is still shown, and the pages say it too.
"""

LONGER = "py:shown_judges:longer"
PUT = {
    "MODEL": "M",
    "POLICY": "M",
    "JUDGE": LONGER,
    "J": LONGER,
    "JUDGE2": "py:mine:shorter",
    "NAME": LONGER,
    "FILE": "prompts.csv",
    "BENCH": "bench.jsonl",
    "reward:MODEL": "toy:styles:length",
    "llm:local:JUDGE": LONGER,
    "FILE.json": "made.json",
    "rubric:BACKEND": "rubric:SERVER",
    "classifier:MODEL#LABEL": "classifier:BERT#LABEL",
    "py:module:function": "py:shown_judges:toxic",
    "SEED-1": "RUN",
    "SEED-2": "RUN",
    "SEED-3": "RUN",
    "START": "M",
    "PROMPTS": "prompts.jsonl",
}
ON = {
    "evaluations/arena_hard": {"question.jsonl": "arena_question.jsonl"},
    "evaluations/mt_bench": {"question.jsonl": "mt_question.jsonl", "J": "llm:SERVER"},
    "evaluations/ruler": {
        "4k,8k,16k": "2k,3k",
        "DIR-A/ruler": "DIR/ruler",
        "DIR-B/ruler": "DIR/ruler",
        "essays.txt": "essays/0.txt",
    },
    "evaluations/intransitivity": {"VERDICTS.jsonl": "RUN/iter-1/verdicts.jsonl"},
    "models": {"RUN": "LORA", "ADAPTER": "LORA/model"},
    "papers/evalyaks": {
        "Part1_Introduction.csv": "Part1_Introduction.jsonl",
        "Part2_LongTurn.csv": "Part2_LongTurn.jsonl",
        "answers.csv": "answers.jsonl",
        "RUN/transcripts.jsonl": "RUN-2/transcripts.jsonl",
    },
    "papers/longpo": {"HELD_OUT": "essays", "FILE": "long.jsonl"},
    "papers/janus": {
        "BACKEND": "py:benchmarks.janus_collection:ScriptedWriter",
        "BASELINE_OUTPUTS": "alpaca_eval.json",
        "MT_QUESTIONS": "mt_question.jsonl",
        "ARENA_QUESTIONS": "arena_question.jsonl",
        "ARENA_ANSWERS": "model_answer/gpt-4-0314.jsonl",
    },
    "quickstart": {
        "http://localhost:8000/v1#WRITER": "py:benchmarks.janus_collection:ScriptedWriter",
        "runs/mine": "RUN",
    },
    "serve": {f"windvane-serve/composer/{name}.jsonl": f"{name}.jsonl" for name in ("votes", "pairs")},
    "toy": {"toy:grades:test:SEED": "toy:grades:test:0"},
}
AT = {
    ("README", "windvane train --objective NAME"): {"NAME": "dpo", "FILE": "pairs.jsonl"},
    ("evaluations/alpaca", "windvane eval alpaca --rejudge"): {"results/*/annotations.json": "DIR/annotations.json"},
    ("evaluations/toxicity", "windvane eval toxicity --outputs"): {"FILE": "outputs.jsonl"},
    ("evaluations/toxicity", "windvane eval toxicity DIR/scored.jsonl"): {"10": "2"},
    ("evaluations/mt_bench", "windvane eval mt-bench --model A B --questions question.jsonl --judge"): {"J": LONGER},
    ("extending", "windvane eval judge"): {"FILE": "card.jsonl"},
    ("judges", "windvane eval judge"): {"FILE": "card.jsonl", "N": "2"},
    ("judges", "windvane run sppo --model MODEL --prompts FILE --judge rubric:"): {"FILE": "system.jsonl"},
    ("papers/longpo", "windvane eval long-chat DIR/grades.jsonl"): {"DIR/grades.jsonl": "DIR-2/grades.jsonl"},
    ("recipes", "windvane run NAME"): {"NAME": "sppo"},
    ("recipes", "windvane export"): {"pairs.jsonl": "exported.jsonl"},
    ("papers/janus", "windvane run janus"): {"FILE": "instructions.jsonl"},
    ("papers/janus", "windvane eval multifaceted --bench BENCH --answers"): {"FILE": "answers.json"},
    ("papers/janus", "windvane eval multifaceted --votes"): {"FILE": "votes.jsonl"},
    ("papers/evalyaks", "windvane data transcripts pasted.txt"): {"transcripts.jsonl": "pasted.jsonl"},
    ("papers/evalyaks", "windvane data transcripts FILE"): {"FILE": "transcripts.jsonl"},
    ("toy", "windvane run janus"): {"toy:values": "world_instructions.jsonl"},
    ("toy", "windvane score"): {"FILE": "transcripts.jsonl", "scores.csv": "bands.csv"},
}
TRAIN = "--train.batch 4 --threads 1 --device cpu --quiet"
LIVE = "--max-new-tokens 4 --quiet"
SMALL = {
    "run sppo": "--iterations 1 --prompts-per-iteration 8 --sampling.k 3 --sampling.max-new-tokens 6 --train.held-out 0 --evaluate.count 4 "
    f"--evaluate.max-new-tokens 6 {TRAIN}",
    "generate": "--max-new-tokens 6 --quiet",
    "judge": "--quiet",
    "train": TRAIN,
    "train reward": f"--train.held-out 0.2 {TRAIN}",
    "train janus": "--threads 1 --device cpu --quiet",
    "run janus": "--quiet",
    "serve": "--port 0",
    "eval alpaca": f"--bootstrap 0 {LIVE}",
    "eval arena-hard": f"--resamples 20 {LIVE}",
    "eval mt-bench": LIVE,
    "eval helpfulness": f"{LIVE} --device cpu",
    "eval judge": "--quiet",
    "eval ruler": "--samples 1 --tasks niah_single_1,vt",
    "eval infinitebench": "--size 20 --samples 1 --max-new-tokens 4",
    "eval toxicity": f"--samples 2 --limit 2 {LIVE}",
    "eval steerability": "--limit 4 --max-new-tokens 8 --quiet",
    "eval multifaceted": LIVE,
    "eval long-chat": LIVE,
    "eval perplexity": "--device cpu --quiet",
    "eval cefr": "--limit 2 --form compact --quiet",
    "eval cefr-levels": "--limit 4 --samples 1 --quiet --form compact",
    "data synthesize": "--count 1 --quiet",
    "eval intransitivity": "",
}
GIVEN_ALONE = {  # flags of SMALL that go with --model alone
    "eval alpaca": "--model",
    "eval arena-hard": "--model",
    "eval mt-bench": "--model",
    "eval ruler": "--model",
    "eval infinitebench": "--model",
    "eval toxicity": "--out",
    "eval steerability": "--cases",
    "eval multifaceted": "--bench",
    "eval long-chat": "--questions",
    "eval cefr": "--model",
}
FRAGMENT = "a part of a command: its verb and flags are looked at in test_commands.py"
BENCHMARK = "a benchmark of minutes, told on the page"
DATA = "AlpacaEval's published files: tests/evals/test_alpaca.py reads them where they are"
NEEDS = {
    "README": {"make demo": "makes an environment; what it runs is held by tests/toy/test_demo.py"},
    "claims": {
        "python -m studies.": "minutes to an hour of CPU: tests/studies runs reduced forms",
        "windvane eval harness": FRAGMENT,
    },
    "evaluations/README": {"windvane eval NAME": FRAGMENT},
    "evaluations/alpaca": {
        "windvane eval alpaca annotations.json": DATA,
        "windvane eval alpaca OURS.json": DATA,
        "windvane eval alpaca NAME/annotations.json": DATA,
        "windvane eval alpaca --coefficients": DATA,
    },
    "evaluations/harness": {
        "windvane eval harness": "the hub's data sets: tests/evals/test_harness.py has a task of its own"
    },
    "evaluations/ruler": {
        "windvane eval ruler --model M --haystack": "SQuAD's and HotpotQA's files: tests/evals/test_ruler_tasks.py reads small ones"
    },
    "judges": {
        "windvane run sppo --model MODEL --prompts FILE --judge pairrm:": "PairRM's weights: tests/judges/test_pairrm.py has tiny ones",
        "windvane data pairrm": "LLM-Blender's folder: tests/judges/test_pairrm_convert.py makes one",
        "python benchmarks/pairrm.py": BENCHMARK,
        "windvane train reward --kind gpm": FRAGMENT,
        "windvane judge RUN --judge human": "a person at a terminal: tests/judges/test_human.py",
    },
    "models": {
        "python llama.cpp/convert_hf_to_gguf.py": "llama.cpp's sources and a tokenizer that its script knows",
        "windvane train --model ADAPTER --stack": FRAGMENT,
    },
    "papers/evalyaks": {
        "windvane score --scorer": FRAGMENT,
        "windvane score answers.csv --scorer MODEL --adapter": "trained adapters: tests/evalyaks/test_model_scorer.py",
        "windvane score FILE --scorer MODEL --adapter": "trained adapters: tests/evalyaks/test_model_scorer.py",
        "windvane run evalyaks": "up to a minute of CPU: tests/evalyaks/test_evalyaks.py runs it smaller",
        "windvane world build": "minutes of CPU: tests/toy/test_build.py builds smaller",
        "python benchmarks/speech_guards.py": BENCHMARK,
    },
    "papers/janus": {
        "python -m benchmarks.janus_collection": BENCHMARK,
        "python -m benchmarks.near_duplicates": BENCHMARK,
        "windvane train reward --kind bt --data": FRAGMENT,
        "windvane train --objective sft": FRAGMENT,
        "windvane train janus --data RUN": "a base of use: toy.md's command is run, and tests/janus/test_train_janus.py",
        "windvane data rubrics": "a writer that answers it: tests/janus/test_rubrics.py",
        "windvane run sppo --judge rubric:BACKEND": FRAGMENT,
    },
    "papers/longpo": {
        "windvane run longpo --model MODEL": "long documents: tests/longpo/test_longpo.py runs two short rounds",
        "windvane run longpo --model toy:facts": "50 CPU-seconds: tests/longpo/test_longpo_parts.py",
        "windvane eval harness": "the hub's data sets: tests/evals/test_harness.py has a task of its own",
        "python benchmarks/long_memory.py": BENCHMARK,
        "python benchmarks/long_weight.py": BENCHMARK,
    },
    "papers/sppo": {"windvane run sppo --preset NAME": FRAGMENT},
    "performance": {"python benchmarks/": BENCHMARK},
    "quickstart": {
        "python3 -m venv": "an installation",
        "pip install": "an installation",
        "windvane run sppo --model mistralai/": "a 7B model, PairRM and a GPU: tests/sppo/test_sppo_settings.py resolves the preset",
        "windvane run longpo": "long documents: tests/longpo/test_longpo.py runs two short rounds",
        "windvane run evalyaks": "minutes of CPU: tests/evalyaks/test_evalyaks.py runs it smaller",
    },
    "recipes": {
        "python -m benchmarks.report_size": BENCHMARK,
        "windvane judge RUN --judge human": "a person at a terminal: tests/judges/test_human.py",
    },
    "serve": {"pip install": "an installation", "python benchmarks/serve.py": BENCHMARK},
    "toy": {"windvane world build": "minutes of CPU: tests/toy/test_build.py builds smaller"},
}
