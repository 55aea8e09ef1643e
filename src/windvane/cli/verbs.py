"""The table of verbs: each is a "module:function" string, imported when the verb is called, and one line of help.

A verb has one word or two; the first word of a two-word verb is its group (`run`, `train`, `eval`, `data`).
"""

VERBS = {
    "demo": ("windvane.toy.demo:main", "run SPPO on the embedded toy world, offline: see the whole loop work"),
    "run sppo": ("windvane.sppo.recipe:main", "self-play preference optimization on your model and prompts"),
    "run longpo": ("windvane.longpo.recipe:main", "a short-context model teaches itself long documents"),
    "run janus": (
        "windvane.janus.collection.recipe:main",
        "build a collection of individual values: system messages and responses, by a writer",
    ),
    "run evalyaks": (
        "windvane.evalyaks.recipe:main",
        "train adapters that grade speaking transcripts, one per exam part",
    ),
    "train": (
        "windvane.finetune.recipe:main",
        "train with any loss on your own pairs, scored groups, labelled responses or chats",
    ),
    "train janus": (
        "windvane.janus.training.command:main",
        "train models that follow values in the system message, from a collection",
    ),
    "train reward": (
        "windvane.stages.train_reward:main",
        "train a reward model or a general preference model on pairs",
    ),
    "generate": ("windvane.stages.generate_command:main", "sample responses of any model to your prompts"),
    "judge": (
        "windvane.stages.judge_command:main",
        "judge responses, from a run or your own file, with any judge or a person",
    ),
    "pair": (
        "windvane.stages.pair_command:main",
        "turn verdicts or scores into preference groups with win probabilities",
    ),
    "score": (
        "windvane.evalyaks.scoring.command:main",
        "score speaking transcripts: bands with probabilities, as a table",
    ),
    "inspect": (
        "windvane.stages.inspect.command:main",
        "show how a file, a chat template or one row of a run is understood",
    ),
    "eval list": ("windvane.evals.catalog:main", "list the evaluations, what each needs and whether it runs offline"),
    "eval alpaca": (
        "windvane.evals.alpaca.command:main",
        "AlpacaEval 2.0: figures from annotations, a model judged live, or a bridge to a new judge",
    ),
    "eval arena-hard": (
        "windvane.evals.arena_hard.command:main",
        "Arena-Hard: Bradley-Terry ratings from judgements, or models judged live",
    ),
    "eval mt-bench": (
        "windvane.evals.mt_bench.command:main",
        "MT-Bench: two-turn scores from judgements, or models judged live",
    ),
    "eval length": (
        "windvane.evals.alpaca.length_adjusted:main",
        "win rate at equal response length, from your own pairs",
    ),
    "eval ruler": (
        "windvane.evals.ruler.command:main",
        "RULER: query a model at growing lengths, or score given responses",
    ),
    "eval infinitebench": (
        "windvane.evals.infinitebench.command:main",
        "InfiniteBench: score predictions, or generate a model's predictions first",
    ),
    "eval long-chat": (
        "windvane.evals.long_chat.command:main",
        "questions on long documents, with responses graded by a rubric judge",
    ),
    "eval perplexity": ("windvane.evals.perplexity:main", "nats per token of held-out documents"),
    "eval harness": (
        "windvane.evals.harness.command:main",
        "the papers' short-context suites, through lm-evaluation-harness",
    ),
    "eval intransitivity": (
        "windvane.evals.intransitivity.command:main",
        "how intransitive a judge is, beyond its noise",
    ),
    "eval cefr": (
        "windvane.evalyaks.evaluation.command:main",
        "predicted against reference bands, beside constants, length and human raters",
    ),
    "eval cefr-baseline": (
        "windvane.evalyaks.scoring.baseline:main",
        "the weight-free scorer of transcripts, cross-validated",
    ),
    "eval cefr-levels": (
        "windvane.evalyaks.evaluation.level_tasks:main",
        "levels of words and sentences: recognised, and written to order",
    ),
    "eval multifaceted": (
        "windvane.janus.bench.command:main",
        "Multifaceted Bench: responses graded by each user's rubrics; human votes",
    ),
    "eval steerability": (
        "windvane.janus.steerability.command:main",
        "whether a response changes as its system message asks, and only then",
    ),
    "eval toxicity": (
        "windvane.evals.toxicity.command:main",
        "toxicity of the worst of 25 responses, by any classifier",
    ),
    "eval helpfulness": (
        "windvane.evals.helpfulness:main",
        "AlpacaEval, MT-Bench and Arena-Hard of a finished Janus run",
    ),
    "eval judge": (
        "windvane.evals.judge_card.command:main",
        "a judge card: accuracy, order flips, ties, null responses, length preference",
    ),
    "data transcripts": (
        "windvane.evalyaks.transcripts.command:main",
        "read, repair, count and split speaking transcripts",
    ),
    "data synthesize": ("windvane.evalyaks.writing.command:main", "write practice conversations for planned bands"),
    "data speech-instructions": (
        "windvane.evalyaks.instructions_command:main",
        "instruction sets: grading exam parts, levels of words and sentences",
    ),
    "data rubrics": (
        "windvane.janus.collection.rubrics:main",
        "write rubrics for the values in system messages: a bench of your own",
    ),
    "data pairrm": (
        "windvane.judges.pairrm.convert:main",
        "convert PairRM from a pickle or LLM-Blender's layout to safetensors",
    ),
    "status": (
        "windvane.report.status:main",
        "show what a run has finished, what is running and how long it will take",
    ),
    "report": ("windvane.cli.report:main", "write a run's report again, or compare two runs on one page"),
    "export": ("windvane.datasets.export:main", "export a run's preference pairs for other trainers"),
    "merge": ("windvane.models.merge:main", "merge an adapter, or a stack of adapters, into its base model"),
    "serve": (
        "windvane.serve.command:main",
        "open a service in the browser: transcripts, validation, two models side by side, runs",
    ),
    "world build": ("windvane.toy.build:main", "train an embedded model from scratch"),
}
# How `windvane --help` shows them: one line for each group.
OVERVIEW = (
    ("demo", VERBS["demo"][1]),
    ("run sppo|longpo|janus|evalyaks", "run one of the four papers' recipes, resumable anywhere"),
    ("train [reward|janus]", VERBS["train"][1]),
    *((verb, VERBS[verb][1]) for verb in ("generate", "judge", "pair", "score", "inspect")),
    ("eval NAME", "evaluate a model or a judge (`windvane eval list` lists the evaluations)"),
    ("data NAME", "prepare data (`windvane data --help` lists what there is)"),
    *((verb, VERBS[verb][1]) for verb in ("status", "report", "export", "merge", "serve")),
)
