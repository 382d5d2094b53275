"""The stage from captions to a WordPiece tokenizer, in the files of a Hugging Face folder."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats
from store.errors import DataError, UserError
from train.keys import digests

if TYPE_CHECKING:
    from tokenizers import Tokenizer, models

NAME = "tokenizer"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_EDGES = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)


class TokenizerParams(Params):
    """How words are cut."""

    vocabulary: PositiveInt = 8000
    """Word pieces at the most, special tokens among them."""
    minimum_count: PositiveInt = 2
    """A pair of pieces is joined when it occurs so often."""
    lower_case: bool = True
    """Accents are kept either way."""
    alphabet: PositiveInt = 1000
    """Distinct characters that are kept; rarer ones become [UNK]."""
    tasks: tuple[Literal["answers", "entailment", "referring"], ...] = ()
    """The texts of these tasks, where samples have them, are learnt from too."""
    pretrained: str = Field(default="", pattern=r"^\S*$")
    """Take this tokenizer instead of training one: a local folder, or a name on the Hugging Face hub."""
    revision: str = ""
    """The hub's commit, for `pretrained` by name."""


class TrainTokenizer(Stage[TokenizerParams]):
    """Train a WordPiece vocabulary on the captions of every language together, or take a published one.

    Writes `tokenizer.json` and `tokenizer_config.json`, so that the artifact's folder opens with
    `transformers.AutoTokenizer`.
    """

    version = 1
    Params = TokenizerParams
    inputs: ClassVar[Mapping[str, str]] = {"shards*": "samples with captions, and texts of tasks"}
    unit: ClassVar[str] = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for the whole vocabulary."""
        uses = digests(inputs, "shards")
        local = Path(self.params.pretrained) / "tokenizer.json"
        if self.params.pretrained and local.is_file():
            uses["pretrained"] = inputs.digest(local)
        yield Shard(name=NAME, uses=uses)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write the tokenizer and count how it cuts the captions."""
        from train.tasks.items import read_items

        began = time.perf_counter()
        captions = list(_captions(inputs))
        if not captions:
            raise DataError("no captions to make a tokenizer from")
        if self.params.pretrained:
            tokenizer = take(self.params.pretrained, self.params.revision, out.path(".json"))
        else:
            texts = [text for _, text in captions]
            for task in self.params.tasks:
                texts += [item.text for item in read_items(task, _tables(inputs))]
            tokenizer = train(texts, self.params)
            tokenizer.save(str(out.path(".json")))
        out.path("_config.json").write_text(
            json.dumps(config(self.params.lower_case), indent=1) + "\n", "utf-8"
        )
        stats = Stats(n_in=len(captions), n_ok=len(captions))
        stats.seconds["train"] = time.perf_counter() - began  # type: ignore[assignment]
        _measure(tokenizer, captions, stats)
        return stats


def train(texts: Sequence[str], params: TokenizerParams) -> Tokenizer:
    """A WordPiece tokenizer trained on texts; equal texts make an equal one.

    The trainer numbers characters in the order of a hash map, and breaks ties between pairs by those numbers,
    so that no two runs agree. Handed over as special tokens, characters have the numbers that we give them;
    the vocabulary then moves to a fresh tokenizer, where they are special no more.
    """
    from tokenizers import models, trainers

    scratch = bare(models.WordPiece(unk_token="[UNK]"), params.lower_case)  # noqa: S106 - no password
    counts = Counter(char for text in texts for char in scratch.normalizer.normalize_str(text))
    common = sorted(counts, key=lambda char: (-counts[char], char))
    alphabet = sorted(char for char in common[: params.alphabet] if not char.isspace())
    pieces = [*SPECIAL, *alphabet, *(f"##{char}" for char in alphabet)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(params.vocabulary, len(pieces)),
        min_frequency=params.minimum_count,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=pieces,
        show_progress=False,
    )
    scratch.train_from_iterator(texts, trainer)
    vocabulary = scratch.get_vocab(with_added_tokens=True)
    return bare(models.WordPiece(vocabulary, unk_token="[UNK]"), params.lower_case)  # noqa: S106 - no password


def bare(model: models.Model, lower_case: bool) -> Tokenizer:
    """BERT's tokenizer around a model: accents kept, `[CLS] A [SEP] B [SEP]`."""
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if tokenizer.get_vocab_size():
        tokenizer.add_special_tokens(list(SPECIAL))
        ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
        )
    return tokenizer


def take(source: str, revision: str, target: Path) -> Tokenizer:
    """Copy a published tokenizer's `tokenizer.json` to `target` and open it.

    Raises:
        UserError: there is none by that name.
    """
    from tokenizers import Tokenizer

    local = Path(source) / "tokenizer.json"
    if not local.is_file():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            local = Path(hf_hub_download(source, "tokenizer.json", revision=revision or None))
        except (OSError, ValueError, HfHubHTTPError) as error:
            raise UserError(
                f"no tokenizer.json in '{source}', neither a folder nor on the hub: {error}",
                "give a folder with tokenizer.json, or check name and network",
            ) from error
    shutil.copyfile(local, target)
    return Tokenizer.from_file(str(target))


def config(lower_case: bool) -> dict[str, Any]:
    """The content of `tokenizer_config.json`."""
    roles = ("pad", "unk", "cls", "sep", "mask")
    tokens = {f"{role}_token": token for role, token in zip(roles, SPECIAL, strict=True)}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": lower_case, **tokens}


def _captions(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """(language, text) of every caption."""
    from store.shards import SUCCESS
    from store.tables import iter_table

    for table in _tables(inputs):
        for row in iter_table(table, ["status", "captions"]):
            if row["status"] == SUCCESS:
                yield from ((caption["lang"], caption["text"]) for caption in row["captions"])


def _tables(inputs: Inputs) -> list[Path]:
    return [a.file(record.name, ".parquet") for a in inputs.all("shards") for record in a.shards]


def _measure(tokenizer: Tokenizer, captions: list[tuple[str, str]], stats: Stats) -> None:
    """Count pieces, words and unknowns; how finely a language is cut decides how well it can be learnt."""
    unknown = tokenizer.token_to_id("[UNK]")
    encodings = tokenizer.encode_batch([text for _, text in captions], add_special_tokens=False)
    for (language, _), encoding in zip(captions, encodings, strict=True):
        words = len({word for word in encoding.word_ids if word is not None})
        stats.totals.update(
            {
                f"pieces {language}": len(encoding.ids),
                f"words {language}": words,
                "unknown pieces": sum(number == unknown for number in encoding.ids),
            }
        )
        stats.observe(f"pieces per word, {language}", len(encoding.ids) / max(1, words), _EDGES)
    stats.totals["vocabulary"] = tokenizer.get_vocab_size()
