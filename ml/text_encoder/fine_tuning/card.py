"""The model card of an encoder, written from what is remembered of it and of the decision about it."""

from __future__ import annotations

from typing import Any

from ml.registry import CARD, Saved
from ml.text_encoder.fine_tuning.queries import MIN_USERS_ASKING
from ml.text_encoder.fine_tuning.settings import FineTuning
from qianmian.step import write_atomically

TEMPLATE = """# {name}

A text encoder for the items of one shop: {base_model}, trained further on which items its users chose together.
It is a sentence-transformers model: `SentenceTransformer("{folder}")`.

## Data

- Made on the features of {made_for}; the last action it learned from is of {trained_to}, the week after that
  decided when training stopped, and the last week but one up to {made_for} decides whether it is promoted.
- {pairs} different pairs among {texts} texts: items bought in one basket or after one another, looked at and then
  bought, {queries}and titles with their descriptions.
- Only actions of users who consent to personalisation. No user and no user's text went into it, {searches}.

## Training

- {method}, learning rate {learning_rate:g}, {batch_texts} texts a step, best at step {best_step}, seed {seed};
  kept is {share:.0%} of what training changed.
- InfoNCE at temperature {temperature:g}; no negatives are texts of one item, known partners, and {margin}.

## Figures

| | NDCG@20 | base model |
| --- | --- | --- |
| week that decided when to stop ({users_deciding} users) | {best_value:.4f} | {base_value:.4f} |
{decision}
The question each time: from the texts of what a user chose before, find what the user buys next and never had.

## Limits

- It knows this shop's taste up to {trained_to}: for another shop, or for search, it was not measured.
- Its vectors do not mix with those of any other model or version.
- Words for a group of people or a brand may stand nearer or farther than they mean, as users bought.
- Base model: {base_version}; its own limits and licence hold.
"""


def decision_line(decision: dict[str, Any] | None) -> str:
    """Return the card's words on the promotion."""
    if decision is None:
        return "\nNot yet held against the champion.\n"
    found = {
        f["model"]: f for f in decision["figures"] if (f["segment"], f["metric"], f["k"]) == ("all", "ndcg", 20)
    }
    rows = [
        f"| week that decides on promotion, {model} | {figure['value']:.4f} ({figure['low']:.4f} to "
        f"{figure['high']:.4f}), {figure['users']} users | |"
        for model, figure in found.items()
    ]
    return "\n".join([*rows, "", f"Decision: {decision['why']}.", ""])


def write_card(version: Saved, decision: dict[str, Any] | None = None) -> None:
    """Write or renew a version's README.md, which is no part of the model's content."""
    about = version.about
    settings: dict[str, Any] = about["settings"]
    share = settings["margin"]
    margin = (
        "nothing else"
        if share is None
        else f"what the base model finds nearer than {share:.0%} of an anchor's nearest partner"
    )
    asked = about.get("queries", 0)
    words = {"lora": f"low-rank additions of rank {settings['rank']}, folded in", "full": "all weights"}
    text = TEMPLATE.format(
        name=version.name,
        folder=version.folder.name,
        decision=decision_line(decision),
        **{k: about[k] for k in ("base_model", "base_version", "made_for", "pairs", "texts", "users_deciding")},
        **{k: about[k] for k in ("best_value", "base_value", "best_step", "seed", "trained_to")},
        **{k: settings[k] for k in ("learning_rate", "batch_texts", "temperature")},
        method=words[FineTuning(**{**settings, "pairs": None}).method],
        margin=margin,
        share=about.get("share", 1.0),
        queries=f"{asked} queries with what was chosen after them, " if asked else "",
        searches=f"but for queries that {MIN_USERS_ASKING} users or more typed" if asked else "and no search",
    )
    write_atomically(version.folder / CARD, text)
