"""A sentence-transformers model of a few thousand weights, made from nothing but a list of words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def build_tiny_encoder(folder: Path, words: Iterable[str], *, seed: int = 0, dropout: float = 0.0) -> Path:
    """Write a two-layer BERT with mean pooling whose vocabulary is `words`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    hub = folder.with_name(f"{folder.name}-hub")
    hub.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(words))]
    number = {word: place for place, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordLevel(number, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", number["[SEP]"]), ("[CLS]", number["[CLS]"]))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    BertModel(config).save_pretrained(hub)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(hub)
    transformer = Transformer(str(hub))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder), create_model_card=False)
    return folder
