"""Text models of a few thousand random weights, of architectures that users name, with tokenizers made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

WORDS = [
    "green tea", "black tea 100 g", "冬季外套 女", "Winter jacket, waterproof, with a hood", "抽纸 3层", "x", "",
    "USB-C cable 2 m", "toner cartridge original black 6 pc(s) for CopyCentre C65 digital copier " * 4,
    "laptop 17 inch 4 GB RAM", "冬季外套 男 加厚 防水 保暖", "green tea", "a b c d e f g", "Red wine 0.75 l",
]  # fmt: skip
#: Weights larger than a new model's, so that its vectors tell texts apart.
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "initializer_range": 0.3,
}  # fmt: skip
QWEN_PROMPTS = {"query": "Instruct: find what the shopper wants\nQuery:", "document": ""}


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, **special: str) -> int:
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)
    wrapped.save_pretrained(folder)
    return len(wrapped)


def bert(folder: Path) -> Path:
    """A plain transformers folder: BERT, WordPiece, no modules.json."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(WORDS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=names))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    size = _save_tokenizer(
        tokenizer, folder, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(1)
    BertModel(BertConfig(vocab_size=size, max_position_embeddings=64, **SIZES)).save_pretrained(folder)
    return folder


def xlm_r(folder: Path) -> Path:
    """XLM-R with a Unigram tokenizer, pooled from the first token, prompts as E5 has them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=names, unk_token="<unk>")
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    part = folder / "0_Transformer"
    size = _save_tokenizer(
        tokenizer, part, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>", bos_token="<s>"
    )
    torch.manual_seed(2)
    config = XLMRobertaConfig(vocab_size=size, max_position_embeddings=70, pad_token_id=1, **SIZES)
    XLMRobertaModel(config).save_pretrained(part)
    modules = [Transformer(str(part), max_seq_length=48), Pooling(32, "cls"), Normalize()]
    prompts = {"query": "query: ", "passage": "passage: "}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder), create_model_card=False)
    return folder


def qwen3(folder: Path, chat_template: str | None = None) -> Path:
    """A decoder as Qwen3-Embedding: byte-level BPE, an end token, padding on the left, the last token's vector."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    special: dict[str, str] = {"chat_template": chat_template} if chat_template else {}
    part = folder / "0_Transformer"
    size = _save_tokenizer(
        tokenizer, part, pad_token="<|endoftext|>", eos_token="<|endoftext|>", padding_side="left", **special
    )
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=size, num_key_value_heads=2, head_dim=8, max_position_embeddings=256, **SIZES
    )  # fmt: skip
    Qwen3Model(config).save_pretrained(part)
    modules = [Transformer(str(part)), Pooling(32, "lasttoken"), Normalize()]
    SentenceTransformer(modules=modules, prompts=QWEN_PROMPTS, device="cpu").save(
        str(folder), create_model_card=False
    )
    assert json.loads((folder / "1_Pooling" / "config.json").read_text())["pooling_mode"] == "lasttoken"
    return folder


ARCHITECTURES = {"bert": bert, "xlm_r": xlm_r, "qwen3": qwen3}
