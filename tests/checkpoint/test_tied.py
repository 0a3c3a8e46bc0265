"""Heads that are left out, and the embeddings that stand in for them."""

from __future__ import annotations

import pytest

from mergegraph.checkpoint.tied import is_head, says_tied, tied_partner


@pytest.mark.parametrize(
    ("head", "modules", "partner"),
    [
        ("lm_head", "model.embed_tokens model.layers.0.mlp.up_proj", "model.embed_tokens"),
        ("lm_head", "transformer.wte transformer.wpe", "transformer.wte"),
        ("embed_out", "gpt_neox.embed_in", "gpt_neox.embed_in"),
        ("output", "tok_embeddings layers.0.feed_forward.w1", "tok_embeddings"),
        ("lm_head", "backbone.embedding", "backbone.embedding"),
        ("cls.predictions.decoder", "bert.embeddings.word_embeddings", "bert.embeddings.word_embeddings"),
        ("lm_head.decoder", "roberta.embeddings.word_embeddings", "roberta.embeddings.word_embeddings"),
        ("lm_head", "encoder.embed_tokens shared", "shared"),
        ("lm_head", "model.encoder.embed_tokens model.decoder.embed_tokens", "model.decoder.embed_tokens"),
        ("lm_head", "language_model.embed_tokens visual.embed_tokens", "language_model.embed_tokens"),
        ("language_model.lm_head", "language_model.embed_tokens audio.embed_tokens", "language_model.embed_tokens"),
        ("talker.lm_head", "thinker.model.embed_tokens", None),
        ("lm_head", "a.embed_tokens b.embed_tokens", None),
        ("lm_head", "model.layers.0.embed_tokens", None),
        ("lm_head", "model.norm", None),
        ("my_lm_head", "model.embed_tokens", None),
        ("model.layers.0.output", "model.embed_tokens", None),
        ("model.norm", "model.embed_tokens", None),
    ],
)
def test_partner_of_a_head(head, modules, partner):
    names = [f"{module}.weight" for module in modules.split()]
    assert tied_partner(f"{head}.weight", names, {}) == (partner and f"{partner}.weight")


def test_only_weights_are_tied():
    assert tied_partner("lm_head.bias", ["model.embed_tokens.weight"], {}) is None
    assert tied_partner("lm_head.weight", ["model.embed_tokens.bias"], {}) is None


@pytest.mark.parametrize(
    ("config", "tied"),
    [
        ({}, True),
        ({"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": False}, False),
        ({"text_config": {"tie_word_embeddings": False}}, False),
        ({"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": True}}, True),
        ({"text_config": {"hidden_size": 4}}, True),
        ({"tie_word_embeddings": "no", "text_config": 3}, True),
    ],
)
def test_the_configuration_decides(config, tied):
    assert (tied_partner("lm_head.weight", ["model.embed_tokens.weight"], config) is not None) == tied


def test_the_default_is_for_those_who_say_nothing():
    assert says_tied({}, default=True)
    assert not says_tied({}, default=False)
    assert says_tied({"tie_word_embeddings": True}, default=False)


def test_heads_lie_outside_layers():
    assert is_head("lm_head.weight")
    assert is_head("language_model.lm_head.weight")
    assert not is_head("encoder.layer.0.output.weight")
