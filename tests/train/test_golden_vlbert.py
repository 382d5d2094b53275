"""Our VL-BERT against numbers of the original code. Each case is built from its meta.json alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.train.mmbert_golden import (
    Case,
    batch_of,
    cases,
    labels,
    loaded,
    needs_golden,
    read,
    text_of,
    trunk_of,
    with_target,
)
from train.models.geometry import relative_boxes, sinusoids
from train.models.joint import Joint, pick
from train.models.masked_generation import Special, next_words, translate_masked
from train.models.vlbert import VlBert
from train.models.vlbert_heads import Answered, Chosen, Referred, Retrieved, Translated
from train.models.vlbert_pretrained import Pretrained
from train.padding import pad_ids
from train.vlbert.batch import JointBatch
from train.vlbert.config import MaskedRegions, StreamObjectives
from train.vlbert.texts import Text, question_text, sentences

pytestmark = needs_golden
TEXT_ALONE = StreamObjectives(masked_regions=MaskedRegions(weight=0))


class Alone(nn.Module):
    """A stream without head, under the name that heads give it."""

    def __init__(self, trunk: VlBert) -> None:
        super().__init__()
        self.trunk = trunk


@pytest.mark.parametrize("name", cases("a"))
def test_geometry(name: str) -> None:
    case = read(name)
    boxes = case.x["boxes"]
    for output, dim, dtype in (
        ("coord_256", 256, torch.float32),
        ("coord_small", int(case.x["small_dim"]), torch.float32),
        ("coord_256_fp64", 256, torch.float64),
    ):
        given = boxes.to(dtype)
        case.check(output, sinusoids(relative_boxes(given[:, :4], given[:, 4:]), dim))


@pytest.mark.parametrize("name", cases("b"))
def test_regions(name: str) -> None:
    case = read(name)
    width = case.meta["config"]["final_dim"]
    case = replace(case, weights={f"image_feature_extractor.{n}": t for n, t in case.weights.items()})
    hidden = case.x.pop("mvrc_ops")
    sizes = {
        "hidden_size": width,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "max_position_embeddings": 8,
        "visual_ln": True,
    }
    case.meta["config"]["VLBERT"] = sizes
    case.weights["vlbert.word_embeddings.weight"] = torch.zeros(4, width)
    model = Alone(trunk_of(case))
    loaded(model, case)
    batch = batch_of(case, torch.ones(len(hidden), 2, dtype=torch.int64))
    columns = batch.region_mask.shape[1]
    with torch.no_grad():
        model.trunk.hidden_region.weight[0] = case.x["mask_visual_embed"]
        found = model.trunk.see(batch)
        masked = model.trunk.see(replace(batch, hidden=hidden[:, :columns].bool()))

    def whole(x: torch.Tensor) -> torch.Tensor:
        """With the columns that are padding everywhere, which we never make."""
        return functional.pad(x, (0, 0) * (x.ndim - 2) + (0, case.y["obj_reps"].shape[1] - columns))

    case.check("obj_reps", whole(found))
    case.check("obj_reps_masked", whole(masked))
    case.check("obj_reps_raw_sum", whole(batch.features.sum(dim=-1) * batch.region_mask))


class TestStream:
    """c: embedding, masks, every layer, attention; and a text with a hole."""

    @pytest.fixture(scope="class", params=cases("c"))
    def case(self, request: pytest.FixtureRequest) -> Case:
        case = read(request.param)
        return replace(case, weights={f"vlbert.{n}": t for n, t in case.weights.items()})

    @pytest.fixture(scope="class")
    def trunk(self, case: Case) -> VlBert:
        trunk = trunk_of(case)
        loaded(Alone(trunk), case)
        return trunk.requires_grad_(False)

    def compose(self, trunk: VlBert, case: Case, ids: torch.Tensor) -> tuple[JointBatch, Joint, torch.Tensor]:
        """What the case says of the first rows, as sequences."""
        n = len(ids)
        mask = case.x["object_mask"][:n]
        batch = replace(
            text_of(ids, torch.full_like(ids, -100), 0),
            segments=case.x["text_token_type_ids"][:n],
            region_mask=mask,
        )
        seen, said = case.x["object_vl_embeddings"][:n].chunk(2, dim=-1)
        return batch, *trunk.compose(batch, case.x["text_visual_embeddings"][:n], said, seen)

    def test_sequence(self, case: Case, trunk: VlBert) -> None:
        batch, joint, x = self.compose(trunk, case, case.x["text_input_ids"])
        case.check("attention_mask", joint.mask)
        case.check("embeddings", x)
        end = batch.text_mask.shape[1] + batch.region_mask.shape[1]
        words = joint.source < batch.text_mask.shape[1]
        case.check("text_index_mask", words & joint.mask)
        case.check("object_index_mask", ~words & (joint.source < end) & joint.mask)

    def test_states(self, case: Case, trunk: VlBert) -> None:
        batch, joint, x = self.compose(trunk, case, case.x["text_input_ids"])
        states = trunk.stack(x, joint.mask)
        case.check("encoded", states)
        found = trunk.read(batch, joint, states)
        case.check("text_out", found.text, batch.text_mask.numpy())
        assert not found.text[~batch.text_mask].any()  # the original has other tokens' states there
        case.check("object_out", found.regions)
        case.check("pooled", found.pooled)

    def test_every_layer_and_its_attention(self, case: Case, trunk: VlBert) -> None:
        batch, joint, x = self.compose(trunk, case, case.x["text_input_ids"])
        states = trunk.stack.each(x, joint.mask)
        for layer, after in enumerate(states):
            case.check(f"layer{layer}_text", pick(after, joint.text), batch.text_mask.numpy())
            before = states[layer - 1] if layer else x
            shares = trunk.stack.layers[layer].attention.shares(before, joint.mask)
            case.check(f"layer{layer}_attention_probs", shares)

    def test_a_hole_in_the_text_moves_no_state(self, case: Case, trunk: VlBert) -> None:
        """The original reads states behind a hole one place too far left; ours belong to their words."""
        batch, joint, x = self.compose(trunk, case, case.x["hole_text_input_ids"])
        found = trunk.read(batch, joint, trunk.stack(x, joint.mask))
        case.check("hole_object_out", found.regions)
        case.check("hole_pooled", found.pooled)
        there = batch.text_mask
        assert (joint.text != torch.arange(there.shape[1]))[there].any()
        theirs = pick(torch.from_numpy(case.y["hole_text_out"]), joint.text)
        tolerance = case.meta["outputs"]["hole_text_out"]["suggested_atol"]
        np.testing.assert_allclose(found.text[there], theirs[there], rtol=0, atol=tolerance)


class TestPretraining:
    """d: masked words with and without visual clues, masked regions, both means, gradients."""

    @pytest.mark.parametrize("name", cases("d"))
    @pytest.mark.parametrize("mean", ["mean", "norm_first"])
    def test_losses_and_gradients(self, name: str, mean: str) -> None:
        case = read(name)
        objectives = StreamObjectives(per_sample_first=mean == "norm_first")
        model = self.model(case, objectives)
        pairs, text = self.batches(case, model)
        found, aux = model(pairs), model(text)
        total = found["total"] + aux["total"]
        total.backward()
        case.check(f"{mean}.mlm_loss_wvc", found["masked_words"])
        case.check(f"{mean}.mlm_loss_aux", aux["masked_words"])
        case.check(f"{mean}.mvrc_loss", found["masked_regions"])
        case.check(f"{mean}.total_loss", total)
        case.check_gradients(model, f"{mean}.")

    @pytest.mark.parametrize("name", cases("d"))
    def test_logits(self, name: str) -> None:
        case = read(name)
        model = self.model(case, StreamObjectives())
        pairs, text = self.batches(case, model)
        with torch.no_grad():
            states, aux = model.trunk.encode(pairs), model.trunk.encode(text)
            case.check("mlm_logits_wvc_at_labels", model.word_logits(states.text[pairs.labels != -100]))
            case.check("mlm_logits_aux_first", model.word_logits(aux.text[:, 0]))
            wanted = pairs.posteriors.sum(dim=-1) > 0
            case.check("mvrc_logits_at_labels", model.region_head(states.regions[wanted]))

    def model(self, case: Case, objectives: StreamObjectives) -> Pretrained:
        classes = len(case.weights["vlbert.mvrc_head.region_cls_pred.bias"])
        model = Pretrained(trunk_of(case), objectives, classes)
        loaded(model, case)
        return model

    def batches(self, case: Case, model: Pretrained) -> tuple[JointBatch, JointBatch]:
        x = case.x
        pairs = batch_of(case, x["text"], labels=labels(x["mlm_labels"]))
        parts = [name.removesuffix("_text") for name in x if name.endswith("_text")]
        width = max(x[f"{part}_text"].shape[1] for part in parts)

        def joined(kind: str, value: int) -> torch.Tensor:
            rows = [x[f"{part}_{kind}"] for part in parts]
            return torch.cat([functional.pad(row, (0, width - row.shape[1]), value=value) for row in rows])

        text = text_of(joined("text", 0), labels(joined("mlm_labels", -1)), model.trunk.feature_dim)
        return pairs, text


@pytest.mark.parametrize("name", cases("e"))
@pytest.mark.parametrize("mean", ["mean", "norm_first"])
def test_text_alone(name: str, mean: str) -> None:
    """e: task C, where words see zeros."""
    case = read(name)
    objectives = TEXT_ALONE.model_copy(update={"per_sample_first": mean == "norm_first"})
    model = Pretrained(trunk_of(case, novision_words="zeros"), objectives, 0)
    loaded(model, case)
    batch = text_of(case.x["text"], labels(case.x["mlm_labels"]), model.trunk.feature_dim)
    found = model(batch)
    found["total"].backward()
    case.check(f"{mean}.mlm_loss", found["masked_words"])
    case.check_gradients(model, f"{mean}.")
    with torch.no_grad():
        states = model.trunk.encode(batch).text
        case.check("mlm_logits_at_labels", model.word_logits(states[batch.labels != -100]))
        case.check("mlm_logits_cls", model.word_logits(states[:, 0]))


class TestRetrieval:
    """f: matches with and without vision, and what counts as right."""

    @pytest.fixture(params=cases("f"))
    def case(self, request: pytest.FixtureRequest) -> Case:
        return read(request.param)

    def test_match(self, case: Case) -> None:
        model = Retrieved(trunk_of(case))
        loaded(model, case)
        batch = with_target(batch_of(case, case.x["text"]), case.x["relationship_label"])
        scores = model.scores(batch)
        case.check("relationship_logits", scores[:, None])
        case.check("probability", scores.sigmoid()[:, None])
        loss = model(batch)["total"]
        case.check("loss", loss)
        loss.backward()
        case.check_gradients(model)

    def test_without_vision(self, case: Case) -> None:
        """As published, and with nothing left of the regions."""
        batch = batch_of(case, case.x["text"])
        with torch.no_grad():
            for novision, name in (("zeros_attended", "original"), ("masked", "masked")):
                model = Retrieved(trunk_of(case, novision=novision))
                loaded(model, case)
                scores = model.scores(batch, without="regions")
                case.check(f"novision_logits_{name}", scores[:, None])
                if novision == "zeros_attended":
                    target = case.x["relationship_label"]
                    case.check(
                        "novision_loss_original", functional.binary_cross_entropy_with_logits(scores, target)
                    )

    def test_accuracy(self, case: Case) -> None:
        logits, wanted = case.x["acc_logits"][:, 0], case.x["acc_labels"].bool()
        case.check("accuracy_corrected", ((logits > 0) == wanted).float().mean().double())
        case.check("accuracy_original", ((logits > 0.5) == wanted).float().mean().double())


@pytest.mark.parametrize("name", cases("g"))
def test_sentences_by_their_first_state(name: str) -> None:
    """g: cosines of raw [CLS] states, with and without vision.

    The case says that words see zeros without vision; its numbers come from the learned vector.
    """
    case = read(name)
    model = Alone(trunk_of(case))
    loaded(model, case)
    for kind, without in (("with_vision", None), ("no_vision", "regions")):
        vectors = {}
        for language in ("en", "de"):
            with torch.no_grad():
                states = model.trunk.encode(batch_of(case, case.x[f"text_{language}"]), without)
            vectors[language] = states.text[:, 0]
            case.check(f"cls_{kind}_{language}", vectors[language])
        unit = {lang: functional.normalize(vector.double(), dim=-1) for lang, vector in vectors.items()}
        case.check(f"cosine_{kind}", unit["en"] @ unit["de"].T)


@pytest.mark.parametrize("name", cases("h"))
def test_lexical_translation(name: str) -> None:
    case = read(name)
    model = Translated(trunk_of(case), case.network["VLBERT"]["MLT_words"])
    loaded(model, case)
    batch = with_target(batch_of(case, case.x["text"]), case.x["word_de_ids"])
    scores = model.scores(batch)
    case.check("MLT_logits", scores)
    case.check("argmax", scores.argmax(dim=1))
    loss = model(batch)["total"]
    case.check("loss", loss)
    loss.backward()
    case.check_gradients(model)


@pytest.mark.parametrize("name", cases("j1"))
def test_answers(name: str) -> None:
    case = read(name)
    config = case.network
    form = {"1fc": "linear", "2fc": "mlp", "mlm": "words"}[config["CLASSIFIER_TYPE"]]
    ids = [row[row > 0].numpy() for row in case.x["question"]]
    texts = [question_text(row, cls=101, sep=102, mask=103) for row in ids]
    check_texts(case, texts)
    np.testing.assert_array_equal([len(text.ids) - 2 for text in texts], case.y["answer_position"])
    answers = case.meta["config"]["ANSWER_VOCAB_SIZE"]
    model = Answered(trunk_of(case), answers, form, wide=config["CLASSIFIER_HIDDEN_SIZE"])
    loaded(model, case)
    words, segments, _ = padded(texts)
    batch = with_target(batch_of(case, words, segments=segments), case.x["label"])
    case.check("label_logits", model.scores(batch))
    loss = model(batch)["total"]
    case.check("loss", loss)
    loss.backward()
    case.check_gradients(model)


@pytest.mark.parametrize("name", cases("j2"))
def test_referring_expressions(name: str) -> None:
    case = read(name)
    model = Referred(trunk_of(case))
    loaded(model, case)
    texts = [sentences([row[row > 0].numpy()], cls=101, sep=102, second=1) for row in case.x["expression"]]
    words, segments, _ = padded(texts)
    batch = batch_of(case, words, segments=segments)
    there, k = batch.region_mask, batch.region_mask.shape[1]
    scores = model.scores(batch)
    whole = functional.pad(scores, (0, case.y["label_logits"].shape[1] - k), value=-torch.inf)
    mask = functional.pad(there, (0, whole.shape[1] - k)).numpy()
    case.check("label_logits", whole, mask)
    assert bool((scores[~there] == -torch.inf).all())
    best = scores.argmax(dim=1)
    case.check("argmax_corrected", best)
    ratios = case.x["im_info"][:, 2:4].repeat(1, 2)
    rows = torch.arange(len(best))
    case.check("pred_boxes_corrected", batch.boxes[rows, best] / ratios)
    overlap = case.x["label"][:, :k]
    loss = model(with_target(batch, overlap))["total"]
    case.check("loss", loss)
    loss.backward()
    case.check_gradients(model)


@pytest.mark.parametrize("name", cases("j3"))
def test_choices(name: str) -> None:
    case, config = read(name), read(name).network
    n, choices = case.x["answer_choices"].shape[:2]
    texts = []
    for row, question in enumerate(case.x["question"]):
        for answer in case.x["answer_choices"][row]:
            parts = [part[part[:, 0] > 0].numpy() for part in (question, answer)]
            words, tags = [part[:, 0] for part in parts], [part[:, 1] for part in parts]
            texts.append(sentences(words, cls=101, sep=102, second=1, seen=tags))
    check_texts(case, texts)
    boxes = case.x["boxes"]
    there = boxes[:, :, 3] > -0.5
    k = int(there.sum(dim=1).max())
    classes = len(case.weights["cnn_loss_reg.2.bias"])
    names = functional.one_hot(boxes[:, :k, 4].long().clamp(min=0), classes).float()

    def each(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(choices, dim=0)

    ids, segments, seen = padded(texts)
    batch = with_target(
        replace(
            text_of(ids, torch.full_like(ids, -100), 0),
            segments=segments,
            seen=seen.clamp(min=0),
            region_mask=each(there[:, :k]),
            hidden=torch.zeros(n * choices, k, dtype=torch.bool),
            posteriors=each(names),
        ),
        case.x["answer_label"],
    )
    model = Chosen(
        trunk_of(case),
        "linear" if config["CLASSIFIER_TYPE"] == "1fc" else "mlp",
        choices=choices,
        classes=classes,
        class_weight=config["CNN_LOSS_WEIGHT"],
        positive=config["CLASSIFIER_SIGMOID_LOSS_POSITIVE_WEIGHT"],
        wide=config["CLASSIFIER_HIDDEN_SIZE"],
    )
    loaded(model, case)
    regions = each(case.x["obj_reps"][:, :k])
    case.check("label_logits", model.choose(batch, model.trunk.encode(batch, seen=regions)))
    found = model(batch, seen=regions)
    case.check("ans_loss", found["answer"])
    case.check("cnn_regularization_loss", found["classes"])
    case.check("loss", found["total"])
    found["total"].backward()
    case.check_gradients(model)


@pytest.mark.parametrize("name", cases("l"))
def test_greedy_generation(name: str) -> None:
    case = read(name)
    model = Pretrained(trunk_of(case), TEXT_ALONE, 0).requires_grad_(False)
    loaded(model, case)
    text = case.x["text"]
    sources = [row[: int((row == 102).nonzero()[0]) + 1].numpy() for row in text]
    batch = batch_of(case, text)
    steps = case.y["argmax_ids"].shape[1]
    special = Special(cls=101, sep=102, mask=103, stop=1)
    first, _ = next_words(model, batch, [*sources], [[] for _ in sources], special)
    case.check("first_step_logits", first)
    found = translate_masked(model, batch, sources, special, steps=steps)
    for row, words in enumerate(found):
        assert len(words) == case.y["generated_lengths"][row]
        assert words == case.y["generated_ids"][row][: len(words)].tolist()


def check_texts(case: Case, texts: list[Text]) -> None:
    """Ids, segments, tags and masks of texts, exactly."""
    ids, segments, seen = padded(texts)
    shape = case.y["text_ids"].shape

    def same(name: str, found: torch.Tensor) -> None:
        whole = functional.pad(found, (0, shape[-1] - found.shape[1])).view(shape)
        there = case.y["text_mask"].astype(bool)
        np.testing.assert_array_equal(whole.numpy()[there], case.y[name][there], err_msg=name)

    same("text_ids", ids)
    same("text_segments", segments)
    same("text_mask", (ids > 0).long())
    assert int((ids > 0).sum()) == int(case.y["text_mask"].sum())
    if "text_tags" in case.y:
        same("text_tags", seen)


def padded(texts: list[Text]) -> tuple[torch.Tensor, ...]:
    return tuple(
        pad_ids([getattr(text, name) for text in texts], 0)[0] for name in ("ids", "segments", "seen")
    )
