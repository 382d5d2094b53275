"""Use a fine-tuned translator: captions, with their pictures or without, in another language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from store.errors import DataError
from store.records import Regions
from train.models.masked_generation import Special, translate_masked
from train.models.translator import Translator
from train.models.vlbert_pretrained import Pretrained
from train.models.vlbert_tuned import open_tuned
from train.vlbert.collate import collate_joint
from train.vlbert.settings import TranslationSettings
from train.vlbert.translations import Bilingual


class Translating:
    """A translator in evaluation mode.

    Attributes:
        source, target: languages.
        blind: whether it translates without pictures.
    """

    def __init__(self, folder: Path, name: str = "model", *, device: str = "cpu") -> None:
        tuned = open_tuned(folder, name, device=device)
        settings, network = tuned.settings, tuned.network
        if not isinstance(settings, TranslationSettings) or not isinstance(network, Pretrained):
            raise DataError(f"{folder} holds a model for '{tuned.task}', none that translates")
        self.source, self.target = settings.source, settings.target
        self.blind = settings.without == "regions"
        self._network, self._device, self._recipe = network, device, tuned.start.recipe
        self._reader = tuned.reader
        self._bilingual = Bilingual(tuned.reader, blind=self.blind)

    def translate(
        self,
        texts: Sequence[str],
        regions: Sequence[Regions | None],
        *,
        beams: int = 1,
        length_penalty: float = 1.0,
        cache: bool = True,
        batch: int = 64,
    ) -> list[str]:
        """Translations of captions, each with the regions of its picture.

        Args:
            beams, length_penalty: see `train.models.speech.speak`.
            cache: see `train.models.translator.Translator.translate`.
        """
        order = np.argsort([len(text) for text in texts], kind="stable").tolist()
        found = [""] * len(texts)
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            given = [self._bilingual.source(str(row), texts[row], regions[row]) for row in rows]
            joint = collate_joint(given, self._reader.detector.feature_dim).to(self._device)
            vocabulary, steps = self._reader.vocabulary, self._recipe.lengths.words
            if isinstance(self._network, Translator):
                said = self._network.translate(
                    joint,
                    vocabulary.sep,
                    steps=steps,
                    beams=beams,
                    length_penalty=length_penalty,
                    cache=cache,
                )
            else:
                sep = vocabulary.sep
                said = translate_masked(
                    self._network,
                    joint,
                    [each.text.ids for each in given],
                    Special(cls=vocabulary.cls, sep=sep, mask=vocabulary.mask, stop=sep),
                    steps=steps,
                    second=self._recipe.vlbert.compatibility.segment_second_language,
                    beams=beams,
                    length_penalty=length_penalty,
                )
            for row, words in zip(rows, said, strict=True):
                found[row] = vocabulary.tokenizer.decode(words)
        return found
