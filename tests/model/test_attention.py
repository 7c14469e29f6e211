"""Attention and the linear map agree with their plain form, in value and in gradient."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.model


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 5])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_agrees_with_its_definition(
    kv_heads: int, window: int | None, softcap: float | None
) -> None:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from trainer.model.attention import attend

    batch, time, heads, size, scale = 2, 23, 4, 8, 0.3
    draw = np.random.default_rng(0)
    q, k, v, weight = (
        jnp.asarray(draw.normal(size=(batch, time, count, size)), jnp.float32)
        for count in (heads, kv_heads, kv_heads, heads)
    )
    segments = jnp.asarray([[1] * 9 + [2] * 11 + [0] * 3, [1] * 1 + [2] * 22], jnp.int32)

    def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        k, v = (jnp.repeat(x, heads // kv_heads, axis=2) for x in (k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * scale
        if softcap is not None:
            scores = softcap * jnp.tanh(scores / softcap)
        at = np.arange(time)
        seen = at[:, None] >= at[None]
        if window is not None:
            seen &= at[:, None] - at[None] < window
        seen = seen[None, None] & (segments[:, None, :, None] == segments[:, None, None, :])
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1), v)

    def ours(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return attend(q, k, v, segments, scale=scale, window=window, softcap=softcap)

    np.testing.assert_allclose(ours(q, k, v), plain(q, k, v), atol=1e-5)
    found, expected = (
        jax.jit(jax.grad(lambda *x, f=f: jnp.sum(f(*x) * weight), (0, 1, 2)))(q, k, v) for f in (ours, plain)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_attention_keeps_half_precision_and_lets_nan_through() -> None:
    import jax.numpy as jnp
    import numpy as np

    from trainer.model.attention import attend

    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 2, 8)), jnp.bfloat16)
    segments = jnp.ones((1, 6), jnp.int32)
    assert attend(x, x, x, segments, scale=1.0).dtype == jnp.bfloat16
    assert np.isnan(
        attend(x.at[0, 0, 0, 0].set(jnp.nan), x, x, segments, scale=1.0)[0, 0, 0].astype(jnp.float32)
    ).all()


def test_a_linear_map_over_tokens_agrees_with_a_matrix_product() -> None:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from trainer.model.decoder import Linear

    draw = np.random.default_rng(0)
    x, kernel, weight = (
        jnp.asarray(draw.normal(size=shape), jnp.float32) for shape in ((3, 7, 5), (5, 4), (3, 7, 4))
    )

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        layer = Linear(5, 4, use_bias=False, rngs=nnx.Rngs(0))
        layer.kernel.set_value(kernel)
        return layer(x)

    np.testing.assert_allclose(ours(x, kernel), x @ kernel, atol=1e-6)
    found, expected = (
        jax.grad(lambda *a, f=f: jnp.sum(f(*a) * weight), (0, 1))(x, kernel) for f in (ours, jnp.matmul)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
