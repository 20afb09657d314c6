# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The model that a run has trained, with the rows that it was tested on, for analyses."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.trainer_utils import IntervalStrategy

from ..data.loading import make_split
from ..data.samplers import DialogueBatches
from ..data.utterances import UtteranceCollator, UtteranceDataset
from ..models.processing_univa import UnivaProcessor
from ..scores.predictions import Predictions
from ..sharing.adapters import load_model
from ..training.arguments import DataArguments, ModelArguments
from ..training.evaluation import predictions_of
from ..training.frozen_text import frozen_encoder
from ..training.run import choose_splits, prepare_corpus
from ..training.trainer import UnivaTrainer
from ..training.training_arguments import UnivaTrainingArguments


__all__ = ["TrainedRun"]


class TrainedRun:
    """
    A trained model and its corpus.

    Args:
        model_folder: output folder of the training.
        model_args, data_args, training_args: of the training.
        media_root: folder of the corpus' media, where it is known.

    Raises:
        CorpusError, ValueError: the corpus has nothing to test on, or either cannot be loaded.
    """

    def __init__(
        self,
        model_folder: str | Path,
        model_args: ModelArguments,
        data_args: DataArguments,
        training_args: UnivaTrainingArguments,
        media_root: Path | None = None,
    ):
        self.model_args, self.data_args = model_args, replace(data_args, streaming=False)
        self.media_root = media_root
        training_args = _for_scoring(training_args)
        self.batch_size = training_args.eval_batch_size
        self.corpus = prepare_corpus(self.data_args, training_args)
        validation, test = choose_splits(self.corpus, self.data_args, training_args)
        if test is None and validation is None:
            raise ValueError(f"{self.corpus.name} has neither a split to test on nor one to validate on.")
        #: Whose rows are analysed: test, or else validation.
        self.split = str(test or validation)
        self.processor = UnivaProcessor.from_pretrained(str(model_folder))
        self.model = load_model(str(model_folder)).to(training_args.device).eval()
        self.trainer = UnivaTrainer(self.model, training_args, processing_class=self.processor)

    @cached_property
    def rows(self) -> UtteranceDataset:
        """The rows of `split` as the training has read them."""
        return self.rows_of(self.split)

    def rows_of(self, split: str, tokens: bool = False) -> UtteranceDataset:
        """
        Rows of a split.

        Args:
            tokens: text as tokens also where the training has read states of a frozen encoder.
        """
        encoder = None if tokens else frozen_encoder(self.model, self.model_args)
        return make_split(self.corpus, split, self.processor, self.model.config, text_encoder=encoder)

    def predictions(self, rows: UtteranceDataset) -> Predictions:
        """What the model says of rows, computed as in the evaluation of its training."""
        self.trainer.evaluate(rows)
        return predictions_of(self.trainer, rows)

    def outputs(self, rows: UtteranceDataset, indices: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
        """
        Outputs of the model, batch by batch.

        Args:
            rows: a split.
            indices: places of whole dialogues in it, in order, shape `(n,)`.

        Yields:
            Places `(B,)` and the `EmotionOutput` of these rows.
        """
        collate = UtteranceCollator(rows)
        for batch in DialogueBatches(rows.dialogues[indices], self.batch_size):
            own = indices[batch]
            # A long dialogue is cut where the model does not read across utterances.
            size = len(own) if self.model.reads_dialogues else self.batch_size
            for part in np.split(own, range(size, len(own), size)):
                inputs = collate(rows.__getitems__(part.tolist()))
                inputs = {name: value.to(self.model.device) for name, value in inputs.items() if name != "labels"}
                with torch.inference_mode():
                    yield part, self.model(**inputs, return_dict=True)


def _for_scoring(args: UnivaTrainingArguments) -> UnivaTrainingArguments:
    """The arguments of a training, for a trainer that trains and saves nothing."""
    args = copy(args)
    args.eval_strategy = args.save_strategy = IntervalStrategy.NO
    args.load_best_model_at_end = args.push_to_hub = args.do_eval = False
    args.report_to = []
    return args
