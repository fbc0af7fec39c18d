"""Recording the attention changes no picture, and what is recorded is the attention."""

import numpy as np
import pytest
import torch

from imagegen.attention import recorded_attention, token_maps, token_places
from imagegen.models import load_pipeline
from imagegen.pipeline import text_embeddings, text_to_image

PROMPT = "a red castle in a meadow at noon"


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


@pytest.fixture(scope="module")
def record(pipe):
    with recorded_attention(pipe.unet) as record:
        text_to_image(pipe, PROMPT, 3)
    return record


def test_the_unet_says_the_same_while_it_is_recorded(pipe):
    x = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        text = torch.cat([text_embeddings(pipe, t) for t in ("", PROMPT)])
        plain = pipe.unet(x, 500, encoder_hidden_states=text).sample
        with recorded_attention(pipe.unet):
            ours = pipe.unet(x, 500, encoder_hidden_states=text).sample
        again = pipe.unet(x, 500, encoder_hidden_states=text).sample
    assert torch.allclose(plain, ours, atol=1e-4)
    assert torch.equal(plain, again)


def test_the_processors_come_back_also_after_an_error(pipe):
    before = {name: id(p) for name, p in pipe.unet.attn_processors.items()}
    hooks = len(pipe.unet._forward_pre_hooks)
    with pytest.raises(KeyError), recorded_attention(pipe.unet):
        raise KeyError
    assert {name: id(p) for name, p in pipe.unet.attn_processors.items()} == before
    assert len(pipe.unet._forward_pre_hooks) == hooks


def test_every_call_and_every_layer_is_recorded_and_rows_sum_to_one(pipe, record):
    layers = sum(name.endswith("attn2.processor") for name in pipe.unet.attn_processors)
    assert [len(step) for step in record] == [layers] * 3
    for step in record:
        for weights in step:
            assert weights.shape[:2] == (2, 4) and weights.shape[2] in (16, 64)
            assert weights.shape[3] == 32 and weights.min() >= 0
            assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)


def test_the_recorded_weights_explain_the_layers_output(pipe):
    """weights @ v, through the layer's last matrix, is what the plain layer returns."""
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    x, text = (
        torch.randn(1, n, d, generator=torch.Generator().manual_seed(n))
        for n, d in ((16, layer.to_q.in_features), (32, layer.to_k.in_features))
    )
    from imagegen.attention import KeptAttention

    kept = KeptAttention([[]])
    with torch.no_grad():
        plain, ours = layer(x, text), kept(layer, x, text)
        v = layer.to_v(text).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        mixed = (kept.record[0][0] @ v).transpose(1, 2).flatten(2)
        by_hand = layer.to_out[0](mixed)
    assert torch.allclose(plain, ours, atol=1e-5)
    assert torch.allclose(plain, by_hand, atol=1e-5)


def test_maps_of_all_tokens_add_up_to_one_everywhere(record):
    maps = token_maps(record[1], 16)
    assert maps.shape == (32, 16, 16)
    assert torch.allclose(maps.sum(0), torch.ones(16, 16), atol=1e-5)


def test_the_prompts_half_of_the_batch_is_used():
    nothing, given = torch.zeros(2, 4, 2), torch.zeros(2, 4, 2)
    nothing[..., 0] = given[..., 1] = 1
    maps = token_maps([torch.stack([nothing, given])], 4)
    assert torch.equal(maps[1], torch.ones(4, 4)) and not maps[0].any()


def test_a_position_keeps_its_place_in_the_map():
    weights = torch.zeros(1, 1, 4, 1)
    weights[0, 0, 1] = 1  # the second position: right of the upper row
    assert token_maps([weights], 2)[0].tolist() == [[0, 1], [0, 0]]


def test_words_are_found_by_their_tokens(pipe):
    tokenizer = pipe.tokenizer
    assert token_places(tokenizer, PROMPT, "red") == [2]
    assert token_places(tokenizer, "a Red castle", "castle") == [3]
    pieces = tokenizer.tokenize("elephant")
    found = token_places(tokenizer, "an elephant on a beach", "elephant")
    assert found == list(range(2, 2 + len(pieces))) and len(pieces) > 1
    for prompt, word in (
        (PROMPT, "cat"),
        (PROMPT, ""),
        ("a meadow" + ", serene" * 20 + " cat", "cat"),
    ):
        with pytest.raises(ValueError, match="is not among the words that are read"):
            token_places(tokenizer, prompt, word)


def share_inside(pipe, word, seed):
    """How much more of a word's attention falls on red pixels than if it were spread evenly."""
    with recorded_attention(pipe.unet) as record:
        picture = text_to_image(pipe, PROMPT, 6, seed=seed)
    r, g, b = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255.0
    red = (r > 0.5) & (g < 0.45 * r) & (b < 0.6 * r)
    red = red.float().reshape(16, 8, 16, 8).mean((1, 3))
    maps = torch.stack([token_maps(step) for step in record]).mean(0)
    here = maps[token_places(pipe.tokenizer, PROMPT, word)].sum(0)
    return ((here * red).sum() / here.sum() / red.mean()).item()


def test_red_is_read_where_it_gets_red_and_noon_elsewhere(pipe):
    red, noon = (
        torch.tensor([share_inside(pipe, w, s) for s in range(6)]) for w in ("red", "noon")
    )
    for x, side in ((red - 1, 1), (1 - noon, 1)):
        assert x.mean() > side * 0.1
        assert x.mean() - 2.57 * x.std() / 6**0.5 > 0  # Student's t, 95 %, 6 seeds
