"""Who writes the portraits: the template, or a language model that may phrase what the template says.

A model's text is kept only if it says all that the template says and `text_check` finds no fault with it; else the
template's stands. So the setting changes how a portrait sounds, never what it claims. A generation takes about a
second on a CPU: for many users, a GPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ml.portraits.portrait_text import Shop, Trait, portrait_texts
from ml.portraits.text_check import TextCheck
from qianmian.step import StepError

TEMPLATE = "template"
_ASK = {
    "en": "Rewrite this description of a shop's customer as one or two natural sentences in English. "
    "Use only these facts and these exact names and numbers, add nothing.",
    "zh": "请把下面对顾客的描述改写成一两句通顺的中文。只用其中的事实、名称和数字，不要添加任何内容。",
}
MOST_TOKENS, BATCH = 160, 16


class Template:
    """Writes by the template alone."""

    name = TEMPLATE

    def __init__(self) -> None:
        self.report: dict[str, Any] = {}

    def write(self, users: Sequence[Sequence[Trait]], shop: Shop, check: TextCheck) -> list[tuple[str, str]]:
        """Write each user's text in English and Chinese."""
        return [portrait_texts(traits, shop) for traits in users]


class LanguageModel:
    """Writes by a transformers text-generation model; greedy, so that the same facts give the same text."""

    def __init__(self, name: str) -> None:
        """Load the model.

        Raises:
            StepError: it cannot be loaded.

        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = name
        self._counts: Counter[str] = Counter()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, padding_side="left")
            self._model: Any = AutoModelForCausalLM.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise StepError(
                f"The portrait writer {name!r} cannot be loaded: {error}",
                "Correct portrait_writer in qianmian.toml: template, or name or path of a text-generation model.",
            ) from None
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def report(self) -> dict[str, Any]:
        """How many texts were kept, and how many refused."""
        return {"texts_kept": self._counts["kept"], "texts_refused": self._counts["refused"]}

    def write(self, users: Sequence[Sequence[Trait]], shop: Shop, check: TextCheck) -> list[tuple[str, str]]:
        """Write each user's text in English and Chinese; the template's where the model's has a fault."""
        templates = [portrait_texts(traits, shop) for traits in users]
        written = []
        for place, language in enumerate(("en", "zh")):
            chosen = [both[place] for both in templates]
            claims = [check.claims(text) for text in chosen]
            some = [row for row, said in enumerate(claims) if said]  # nothing to say: nothing to phrase
            for at in range(0, len(some), BATCH):
                rows = some[at : at + BATCH]
                texts = self.generate([self._prompt(chosen[row], language) for row in rows])
                for row, text in zip(rows, texts, strict=True):
                    kept = claims[row] <= check.claims(text) and not check.faults(text, users[row])
                    self._counts["kept" if kept else "refused"] += 1
                    if kept:
                        chosen[row] = text
            written.append(chosen)
        return list(zip(*written, strict=True))

    def _prompt(self, facts: str, language: str) -> str:
        ask = f"{_ASK[language]}\n\n{facts}"
        if self._tokenizer.chat_template:
            return str(
                self._tokenizer.apply_chat_template(
                    [{"role": "user", "content": ask}], tokenize=False, add_generation_prompt=True
                )
            )
        return f"{ask}\n\n"

    def generate(self, prompts: Sequence[str]) -> list[str]:
        """Return what the model goes on with after each prompt."""
        import torch

        inputs = self._tokenizer(list(prompts), return_tensors="pt", padding=True).to(self._model.device)
        with torch.inference_mode():
            out = self._model.generate(
                **inputs, max_new_tokens=MOST_TOKENS, do_sample=False, pad_token_id=self._tokenizer.pad_token_id
            )
        new = out[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]


def writer_of(setting: str) -> Template | LanguageModel:
    """Return the writer that the setting names.

    Raises:
        StepError: a model cannot be loaded.

    """
    return Template() if setting == TEMPLATE else LanguageModel(setting)
