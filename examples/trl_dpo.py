"""TRL's DPOTrainer with the prompt computed once: one line more, `share_prefixes(trainer.model)`. `pip install trl`, then
`python examples/trl_dpo.py MODEL DATASET.jsonl OUT` (rows with prompt, chosen, rejected).
"""

import sys

from windvane.models.trees.share_prefixes import share_prefixes


def main(model, data, out):
    import torch
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    cpu = not torch.cuda.is_available()  # TRL's default is bf16, which transformers refuses without a GPU
    dataset = load_dataset("json", data_files=data, split="train")
    args = DPOConfig(output_dir=out, max_length=None, bf16=not cpu, use_cpu=cpu)
    trainer = DPOTrainer(model, args=args, train_dataset=dataset)
    scorer = share_prefixes(trainer.model)
    trainer.train()
    print(f"computed {scorer.mode}" + (f": {scorer.reason}" if scorer.reason else ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
