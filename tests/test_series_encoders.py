"""Encoders of irregular series: what a step is, that time is heard, and that what is missing has no influence."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench import metrics, prep, registry, train
from bench.core import BenchError, Cohort, Encodings, Inputs, Run, Series
from bench.nets import masking
from bench.nets.encoders import Encoder
from bench.nets.series import CLOCK, UNITS, Convolution, DecayGRU, Steps, body
from bench.prep.series import ENCODINGS, PATCH, STEPS, SeriesColumns, SeriesSteps

OVER_STEPS = ("grud", "tcn", "patch")


def series(n: int, events: int, channels: int = 3, seed: int = 0, span: float = 1440) -> Series:
    """Every fourth event shares its time with the one before of its row; row 0 has no event, row 1 lacks the modality."""
    rng = np.random.default_rng(seed)
    row = np.sort(rng.integers(1, n, events))
    time = np.round(rng.uniform(0, span, events))
    same = np.flatnonzero(row[1:] == row[:-1])[::4]
    time[same + 1] = time[same]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))])
    present = np.arange(n) != 1
    names = [f"c{i}" for i in range(channels)]
    return Series(offsets, time, rng.integers(0, channels, events), rng.normal(size=events), names, present=present)


def fitted(s: Series, encoding: str) -> prep.SeriesTokens:
    return prep.SeriesTokens.fit(SeriesColumns(s.channels), s, encoding)


def batch_of(tokens: prep.SeriesTokens, s: Series) -> dict[str, dict[str, Tensor]]:
    arrays = {"vitals": {**tokens(s), "present": np.array(s.present)}}
    return {key: dict(part) for key, part in train.tensors(arrays, "cpu").items()}


def network(tokens: prep.SeriesTokens, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder({"vitals": tokens.shape}, 16, 16, 1, 2, 0.0).eval()


def steps_of(part: Mapping[str, Tensor]) -> Steps:
    return Steps.of(part["windows"], part["observed"], part["time"])


def test_steps_by_hand() -> None:
    # two channels, one event value each in training (10 and 20 of c0 -> scores -1 and 1 by symmetry; c1 constant -> 0)
    # distinct times 120, 60 -> two steps, at the end of PATCH = 4; unit: the .95 quantile of |120, 120, 60| is 120
    s = Series([0, 3], [60, 120, 120], [0, 0, 1], [20, 10, 7], ["c0", "c1"])
    fit = SeriesSteps.fit(s)
    values, observed, time = fit(s)
    assert fit.steps == PATCH == 4
    np.testing.assert_allclose(values[0, :, :, 0], [[0, 0], [0, 0], [-1, 0], [1, 0]], atol=1e-6)
    np.testing.assert_array_equal(observed[0], [[0, 0], [0, 0], [1, 1], [1, 0]])
    np.testing.assert_allclose(time[0], [0, 0, 1, 0.5])


def test_more_times_than_steps_are_merged_two_by_two() -> None:
    # 2 * 48 times, one minute apart, values 0..95: step j holds the values 2j and 2j + 1, and the time of the later
    n = 2 * STEPS
    s = Series([0, n], np.arange(n)[::-1], np.zeros(n), np.arange(n), ["c0"])
    fit = SeriesSteps.fit(s)
    values, observed, time = fit(s)
    each = fit.values(np.arange(n, dtype=float)[:, None])[:, 0]
    np.testing.assert_allclose(values[0, :, 0, 0], each.reshape(-1, 2).mean(1), atol=1e-6)
    assert observed.all()
    np.testing.assert_allclose(time[0] * fit.unit, np.arange(0, n, 2)[::-1], rtol=1e-6)


def test_steps_equal_a_loop_over_rows() -> None:
    s = series(30, 500)
    fit = SeriesSteps.fit(s)
    values, observed, time = fit(s)
    scores = fit.values
    for i in range(len(s)):
        mine = slice(s.offsets[i], s.offsets[i + 1]) if s.present[i] else slice(0, 0)
        times = np.unique(s.time[mine])[::-1]
        assert (observed[i].any(1).sum()) == len(times) <= STEPS
        np.testing.assert_allclose(time[i, fit.steps - len(times) :], times / fit.unit, rtol=1e-6)
        for j, t in enumerate(times):
            for c in range(3):
                here = s.value[mine][(s.time[mine] == t) & (s.channel[mine] == c)].astype(float)
                step = fit.steps - len(times) + j
                assert observed[i, step, c] == (len(here) > 0)
                expected = np.interp(here, *scores.knots[c]).mean() if len(here) else 0
                assert values[i, step, c, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_row_alone_is_the_row_in_a_batch(encoding: str) -> None:
    s = series(12, 150)
    tokens = fitted(s, encoding)
    net = network(tokens)
    together = net(batch_of(tokens, s))
    alone = torch.cat([net(batch_of(tokens, s.rows(np.array([i])))) for i in range(len(s))])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(alone, together, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_row_without_the_modality_is_not_heard(encoding: str) -> None:
    s = series(12, 150)
    tokens = fitted(s, encoding)
    net, batch = network(tokens), batch_of(tokens, s)
    noise = {k: v.clone() for k, v in batch["vitals"].items()}
    for name in ("windows", "observed", "summary"):
        noise[name][1] = torch.rand_like(noise[name][1]) + 1
    assert torch.equal(net(batch)[1], net({"vitals": noise})[1])
    net(batch)[1].sum().backward()
    heard = [name for name, p in net.encoders.named_parameters() if p.grad is not None and p.grad.any()]
    assert not heard


@pytest.mark.parametrize("encoding", OVER_STEPS)
def test_empty_steps_in_front_have_no_influence(encoding: str) -> None:
    s = series(12, 150)
    part = batch_of(fitted(s, encoding), s)["vitals"]
    steps = steps_of(part)
    more = Steps(*(functional.pad(x, (0, 0, PATCH, 0)) for x in (steps.values, steps.observed)),
                 *(functional.pad(x, (PATCH, 0)) for x in (steps.time, steps.here)))  # fmt: skip
    net = body(encoding, 3, 16, 0.0, STEPS + PATCH).eval()
    tokens, mask = net(steps)
    wider, seen = net(more)
    assert torch.equal(seen[:, -mask.shape[1] :], mask)
    assert not seen[:, : -mask.shape[1]].any()
    torch.testing.assert_close(wider[:, -mask.shape[1] :][mask], tokens[mask], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("encoding", OVER_STEPS)
def test_time_is_heard(encoding: str) -> None:
    s = series(12, 150)
    tokens = fitted(s, encoding)
    later = Series(s.offsets, s.time + 240, s.channel, s.value, s.channels, present=s.present)
    net = network(tokens)
    moved = (net(batch_of(tokens, s)) - net(batch_of(tokens, later))).abs().amax(1)
    assert moved[1] == 0  # without the modality
    assert (moved[2:] > 1e-4).all()


@pytest.mark.parametrize("encoding", OVER_STEPS)
def test_channels_have_no_order_but_that_of_the_weights(encoding: str) -> None:
    s, order = series(12, 150), torch.tensor([2, 0, 1])
    steps = steps_of(batch_of(fitted(s, encoding), s)["vitals"])
    other = replace(steps, values=steps.values[..., order], observed=steps.observed[..., order])
    torch.manual_seed(0)
    net, same = (body(encoding, 3, 16, 0.0, STEPS).eval() for _ in range(2))
    cell = 6 + CLOCK
    columns = torch.cat([order, 3 + order, torch.arange(6, cell)])
    extra = {"grud": columns, "tcn": torch.cat([columns, cell + order])}
    four = torch.cat([torch.cat([columns, torch.tensor([cell])]) + i * (cell + 1) for i in range(PATCH)])
    moved = {"input.weight": extra.get(encoding, columns), "embed.weight": four, "forget.weight": order, "fade": order}
    state = net.state_dict()
    same.load_state_dict({k: v[..., moved[k]] if k in moved else v for k, v in state.items()})
    torch.testing.assert_close(same(other)[0], net(steps)[0], atol=2e-6, rtol=1e-5)


def test_the_convolution_hears_a_step_in_no_earlier_one_and_thirty_later() -> None:
    # kernel 3 at dilations 1, 2, 4, 8: 2 * (1 + 2 + 4 + 8) = 30 steps back
    torch.manual_seed(0)
    n, at = 48, 10
    values, rest = torch.randn(1, n, 2), (torch.ones(1, n, 2), torch.linspace(2, 0, n)[None], torch.ones(1, n, dtype=torch.bool))
    net = Convolution(2, 16, 0.0).eval()
    heard: list[Tensor] = []
    net.norms[0].register_forward_hook(lambda _net, got, _out: heard.append(torch.zeros_like(got[0])))
    for block in net.blocks:
        block.register_forward_hook(lambda _net, _got, out: heard[-1].add_(functional.gelu(out)))
    other = values.clone()
    other[0, at] += 5
    for one in (values, other):
        net(Steps(one, *rest))
    moved = (heard[0] - heard[1])[0].abs().amax(1) > 0
    assert moved.nonzero()[:, 0].tolist() == list(range(at, at + 31))


def test_grud_follows_the_papers_equations_one_step_after_another() -> None:
    s = series(8, 80)
    steps = steps_of(batch_of(fitted(s, "grud"), s)["vitals"])
    torch.manual_seed(0)
    net = DecayGRU(3, 16, 0.0).eval()
    nn.init.uniform_(net.fade, 0.5, 2)
    clock, u = steps.clock(), UNITS
    states: list[Tensor] = []
    for i in range(len(s)):
        h, last, since, then = torch.zeros(u), torch.zeros(3), torch.zeros(3), None
        for x, m, t, c in zip(steps.values[i], steps.observed[i], steps.time[i], clock[i], strict=True):
            if not m.any():
                continue
            since = since + (0 if then is None else then - t)
            faded = torch.exp(-functional.relu(net.forget(since))) * h
            gamma = torch.exp(-functional.relu(net.fade * since + net.fade_bias))
            filled = m * x + (1 - m) * gamma * last
            a, b = net.input(torch.cat([filled, m, c])), net.state(faded)
            r, z = torch.sigmoid(a[:u] + b[:u]), torch.sigmoid(a[u : 2 * u] + b[u : 2 * u])
            h = (1 - z) * torch.tanh(a[2 * u :] + r * b[2 * u :]) + z * faded
            last, since, then = torch.where(m > 0, x, last), torch.where(m > 0, 0, since), t
        states.append(h)
    torch.testing.assert_close(net(steps)[0][:, 0], net.out(torch.stack(states)), atol=2e-6, rtol=1e-5)


def swings(n: int, seed: int) -> tuple[Series, NDArray[np.float64]]:
    """n rows of one channel: 0 1 -1 -1 1 0, or its negative, at random times mirrored about their middle, and noise.

    Both have the same values, first and last value and slope 0, so that no statistic of the whole tells them apart.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    half = np.cumsum(rng.uniform(30, 120, (n, 3)), axis=1)
    time = 400 + np.column_stack([half[:, ::-1], -half])
    value = np.outer(2 * y - 1, [0, 1, -1, -1, 1, 0]) + rng.normal(0, 0.1, (n, 6))
    return Series(6 * np.arange(n + 1), time.ravel(), np.zeros(6 * n), value.ravel(), ["c0"]), y.astype(float)


def learned(encoding: str) -> float:
    """AUROC on 200 new rows after 60 steps on 200."""
    s, y = swings(200, 0)
    tokens = fitted(s, encoding)
    net = nn.Sequential(network(tokens).train(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    batch, target = batch_of(tokens, s), torch.tensor(y)[:, None].float()
    for _ in range(60):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(net(batch), target).backward()
        optimizer.step()
    new, truth = swings(200, 1)
    with torch.no_grad():
        return float(metrics.auroc(truth, net.eval()(batch_of(tokens, new))[:, 0].double().numpy()))


@pytest.mark.parametrize("encoding", OVER_STEPS)
def test_the_order_of_values_is_learned(encoding: str) -> None:
    assert learned(encoding) > 0.9


def test_summaries_cannot_see_the_order_of_values() -> None:
    assert learned("summary") < 0.65


@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if e != "windows"])
def test_hidden_parts_and_halves_work_under_any_encoding(encoding: str) -> None:
    s = series(12, 150)
    tokens = fitted(s, encoding)
    batch, shapes = batch_of(tokens, s), {"vitals": tokens.shape}
    view, values, asked = masking.hide(batch, shapes, 0.5)
    assert values.shape == asked.shape == (12, masking.width(tokens.shape))
    assert torch.isfinite(network(tokens)(view)).all()
    half = masking.half(batch, late=True)
    assert (half is None) == (encoding == "summary")
    if half is not None:
        assert torch.isfinite(network(tokens)(half)).all()


def test_no_events_at_all_and_channels_never_seen() -> None:
    none = Series([0, 0, 0], [], [], [], ["c0"])
    s = series(6, 40)
    for encoding in ENCODINGS:
        tokens = fitted(none, encoding)
        assert torch.isfinite(network(tokens)(batch_of(tokens, none))).all()
        assert torch.isfinite(network(tokens)(batch_of(tokens, s))).all()


def encoded(cohort: Cohort, encoding: str) -> Cohort:
    return replace(cohort, inputs=Inputs(cohort.inputs.modalities, Encodings(series=encoding)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_method_trains_and_predicts_under_any_encoding(encoding: str, small_cohort: Cohort) -> None:
    cohort = encoded(small_cohort, encoding)
    rows = np.arange(len(cohort))
    method = registry.method("hard_sharing:epochs=1:fused=16:hidden=16")
    predictor = method.fit(cohort.rows(rows[:120]), cohort.rows(rows[120:160]), Run())
    p = predictor.predict(cohort.rows(rows[160:200]).inputs)
    assert np.isfinite(p).all()
    nothing = Inputs({k: m for k, m in cohort.rows(rows[160:200]).inputs.modalities.items() if not isinstance(m, Series)})
    assert np.isfinite(predictor.predict(nothing)).all()


def test_an_unknown_encoding_gets_the_closest(small_cohort: Cohort) -> None:
    with pytest.raises(BenchError, match=r"but got 'gru'\. Did you mean 'grud'\?"):
        prep.tokens(encoded(small_cohort, "gru"))
    with pytest.raises(BenchError, match=r"one of windows, summary, grud, tcn, patch, but got 'zzz'\.$"):
        prep.tokens(encoded(small_cohort, "zzz"))
