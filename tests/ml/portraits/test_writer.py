"""A language model may phrase a portrait, and never adds to it. The models here are made in the test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ml.portraits.portrait_text import portrait_texts
from ml.portraits.writer import LanguageModel, Template, writer_of
from qianmian.step import StepError
from tests.ml.conftest import build_features
from tests.ml.portraits.conftest import output, run, shop
from tests.ml.portraits.test_text_check import CHECK, SHOP, TRAITS


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of a few thousand random weights, and a tokenizer of words."""
    folder = tmp_path_factory.mktemp("tiny-gpt2")
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[UNK]", "[END]"])
    tokenizer.train_from_iterator(["A loyal customer buys Garden and tea on Mondays ."], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[END]")
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(wrapped), n_positions=512, n_embd=16, n_layer=1, n_head=2)
    ).save_pretrained(folder)
    return folder


def test_the_template_is_the_default():
    writer = writer_of("template")
    assert isinstance(writer, Template)
    assert writer.write([TRAITS], SHOP, CHECK) == [portrait_texts(TRAITS, SHOP)]


def test_a_model_that_babbles_is_refused_and_the_template_stands(tiny_model):
    writer = writer_of(str(tiny_model))
    assert isinstance(writer, LanguageModel)
    babble = writer.generate(["A loyal customer"])
    assert babble[0]
    assert writer.generate(["A loyal customer"]) == babble
    assert writer.write([TRAITS, TRAITS], SHOP, CHECK) == [portrait_texts(TRAITS, SHOP)] * 2
    assert writer.report == {"texts_kept": 0, "texts_refused": 4}


def test_a_model_that_keeps_to_the_traits_is_heard(tiny_model, monkeypatch):
    template = portrait_texts(TRAITS, SHOP)
    # The same facts, told the other way round.
    english = " ".join(f"{sentence}." for sentence in reversed(re.split(r"(?<!Dr)\. ", template[0].rstrip("."))))
    chinese = "。".join(reversed(template[1].rstrip("。").split("。"))) + "。"
    answers = {"English": english, "改写": chinese}
    writer, asked = writer_of(str(tiny_model)), []

    def generate(prompts):
        asked.extend(prompts)
        return [text for prompt in prompts for word, text in answers.items() if word in prompt]

    monkeypatch.setattr(writer, "generate", generate)
    assert writer.write([TRAITS], SHOP, CHECK) == [(english, chinese)]
    assert template[0] in asked[0]
    answers["改写"] = chinese.replace("62%", "63%")  # a lie
    answers["English"] = english.replace("Writes mostly positive reviews.", "")  # leaves something out
    assert writer.write([TRAITS], SHOP, CHECK) == [template]
    assert writer.report == {"texts_kept": 2, "texts_refused": 2}


def test_where_nothing_is_known_no_model_is_asked(tiny_model, monkeypatch):
    writer = writer_of(str(tiny_model))
    monkeypatch.setattr(writer, "generate", lambda prompts: pytest.fail("asked"))
    assert writer.write([[]], SHOP, CHECK) == [portrait_texts([], SHOP)]


def test_a_model_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(StepError, match="cannot be loaded") as error:
        writer_of(str(tmp_path / "nothing"))
    assert "portrait_writer in qianmian.toml" in error.value.remedy


def test_the_step_takes_the_model_and_says_so(tiny_model, tmp_path):
    lake = build_features(tmp_path / "lake", **shop(3))
    report = run(lake, portrait_writer=str(tiny_model))
    assert report["writer"]["texts_refused"] == 10  # five users in two languages
    assert report["texts_at_fault"] == 0
    assert {row["model_version"] for row in output(lake, "user_profiles")} == {f"portraits-1+{tiny_model}"}
